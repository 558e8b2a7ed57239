//! What a provider is and what it honours. Servers silently ignore parameters, so a profile says what is worth sending;
//! `assay doctor --provider` probes it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::contract::SchemaProfile;
use super::secrets::{Environment, SecretString, Secrets};
use super::wire::Wire;
use crate::config::Config;
use crate::diagnostic::{Diagnostic, Diagnostics, Place};

/// How a provider takes the schema of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Structured {
    /// `text.format` (Responses).
    TextFormat,
    /// `response_format` with a JSON Schema (Chat Completions).
    ResponseFormat,
    /// `output_config.format` (Anthropic Messages).
    OutputConfig,
    /// JSON of any shape (`json_object`); the prompt has to say the shape.
    JsonObject,
    /// Nothing on the wire; the prompt has to say everything.
    Prompt,
}

/// How the key is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Auth {
    /// `Authorization: Bearer`.
    Bearer,
    /// `x-api-key` (Anthropic).
    XApiKey,
    /// `api-key` (Azure).
    ApiKey,
}

/// A provider.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    /// Its name in prompts, configuration and recordings.
    pub name: String,
    /// The wire format.
    pub wire: Wire,
    /// Address up to and without the operation, e.g. `https://api.openai.com/v1`.
    pub base_url: String,
    /// Environment variable that holds the key; `None`: no key is sent.
    pub api_key_env: Option<String>,
    /// How the key is sent.
    pub auth: Auth,
    /// How the schema of the answer is sent.
    pub structured: Structured,
    /// What its schema engine understands.
    pub schema: SchemaProfile,
    /// Sampling parameters and `effort` that it takes; others are not sent.
    pub params: Vec<String>,
    /// Name of the field for the token limit (Chat Completions has two).
    pub max_tokens_field: String,
    /// Fields that are added to every body and don't change what is asked.
    pub extra: Map<String, Value>,
    /// Headers that are added to every request.
    pub headers: BTreeMap<String, String>,
    /// PEM file of certificate authorities that are trusted beside those of the system.
    pub ca_file: Option<PathBuf>,
    /// Address of a proxy that requests go through. None is taken from the environment.
    pub proxy: Option<String>,
    /// Limit of one attempt.
    pub timeout: Duration,
    /// Attempts of one request, the first included.
    pub max_attempts: u32,
    /// Requests at a time, at most; adapts downwards to rate limits.
    pub concurrency: usize,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Overrides {
    wire: Option<Wire>,
    base_url: Option<String>,
    api_key_env: Option<String>,
    auth: Option<Auth>,
    structured: Option<Structured>,
    schema: Option<SchemaProfile>,
    params: Option<Vec<String>>,
    max_tokens_field: Option<String>,
    extra: Map<String, Value>,
    headers: BTreeMap<String, String>,
    ca_file: Option<PathBuf>,
    proxy: Option<String>,
    timeout_seconds: Option<u64>,
    max_attempts: Option<u32>,
    concurrency: Option<usize>,
}

/// The providers that are built in.
pub const BUILT_IN: [&str; 4] = ["openai", "openai-compatible", "llama-server", "anthropic"];

impl Profile {
    /// A built-in provider.
    pub fn built_in(name: &str) -> Option<Self> {
        let base = Self {
            name: name.to_owned(),
            wire: Wire::Responses,
            base_url: "https://api.openai.com/v1".to_owned(),
            api_key_env: Some("OPENAI_API_KEY".to_owned()),
            auth: Auth::Bearer,
            structured: Structured::TextFormat,
            schema: SchemaProfile::OpenaiStrict,
            params: ["temperature", "top_p", "effort"].map(str::to_owned).to_vec(),
            max_tokens_field: "max_output_tokens".to_owned(),
            extra: Map::new(),
            headers: BTreeMap::new(),
            ca_file: None,
            proxy: None,
            timeout: Duration::from_secs(60),
            max_attempts: 6,
            concurrency: 32,
        };
        let all = ["temperature", "top_p", "seed", "stop", "effort"].map(str::to_owned).to_vec();
        Some(match name {
            "openai" => base,
            "openai-compatible" => Self {
                wire: Wire::Chat,
                structured: Structured::ResponseFormat,
                params: all,
                max_tokens_field: "max_tokens".to_owned(),
                ..base
            },
            "llama-server" => Self {
                wire: Wire::Chat,
                base_url: "http://127.0.0.1:8080/v1".to_owned(),
                api_key_env: None,
                structured: Structured::ResponseFormat,
                schema: SchemaProfile::Grammar,
                params: ["temperature", "top_p", "seed", "stop"].map(str::to_owned).to_vec(),
                max_tokens_field: "max_tokens".to_owned(),
                // The server's prompt cache changes the answer, even at temperature 0.
                extra: Map::from_iter([("cache_prompt".to_owned(), json!(false))]),
                timeout: Duration::from_secs(600),
                concurrency: 1,
                ..base
            },
            "anthropic" => Self {
                wire: Wire::Anthropic,
                base_url: "https://api.anthropic.com/v1".to_owned(),
                api_key_env: Some("ANTHROPIC_API_KEY".to_owned()),
                auth: Auth::XApiKey,
                structured: Structured::OutputConfig,
                schema: SchemaProfile::Anthropic,
                params: vec!["effort".to_owned()],
                max_tokens_field: "max_tokens".to_owned(),
                headers: BTreeMap::from([("anthropic-version".to_owned(), "2023-06-01".to_owned())]),
                ..base
            },
            _ => return None,
        })
    }

    /// The provider with this name: built in, changed by or wholly from `[providers.NAME]` of the configuration.
    ///
    /// # Errors
    /// `E_PROVIDER_UNKNOWN`, `E_PROVIDER_INVALID`.
    pub fn resolve(config: &Config, name: &str) -> Result<Self, Diagnostics> {
        let Some(table) = config.providers.get(name) else {
            return Self::built_in(name).ok_or_else(|| {
                let own = config.providers.keys().map(String::as_str);
                let known: Vec<&str> = BUILT_IN.into_iter().chain(own).collect();
                Diagnostic::new("E_PROVIDER_UNKNOWN", format!("provider `{name}` is unknown"))
                    .hint(format!(
                        "providers: {}; others need a table `[providers.{name}]` in assay.toml",
                        known.join(", ")
                    ))
                    .into()
            });
        };
        let fault = |message: String| {
            Diagnostic::new("E_PROVIDER_INVALID", format!("[providers.{name}]: {message}"))
                .at(Place::file(config.resolve(crate::config::FILE_NAME.as_ref())))
        };
        let invalid = |message: String| Diagnostics::from(fault(message));
        let own: Overrides = table
            .clone()
            .try_into()
            .map_err(|error: toml::de::Error| invalid(error.message().trim().replace('\n', " ")))?;
        let base = match (Self::built_in(name), own.wire) {
            (Some(base), None) => Some(base),
            (Some(base), Some(wire)) if base.wire == wire => Some(base),
            (_, Some(Wire::Responses)) => Self::built_in("openai"),
            (_, Some(Wire::Chat)) => Self::built_in("openai-compatible"),
            (_, Some(Wire::Anthropic)) => Self::built_in("anthropic"),
            (None, None) => None,
        };
        let Some(base) = base else {
            let hint = "wire = \"responses\", \"chat\" or \"anthropic\"";
            return Err(fault("`wire` is missing".to_owned()).hint(hint).into());
        };
        let is_own = Self::built_in(name).is_none();
        if is_own && own.base_url.is_none() {
            return Err(invalid("`base_url` is missing".to_owned()));
        }
        let mut profile = Self { name: name.to_owned(), ..base };
        // An own provider must never be sent another one's key.
        if is_own {
            profile.api_key_env = None;
        }
        if own.api_key_env.is_some() {
            profile.api_key_env = own.api_key_env.filter(|name| !name.is_empty());
        }
        profile.base_url = own.base_url.unwrap_or(profile.base_url).trim_end_matches('/').to_owned();
        profile.auth = own.auth.unwrap_or(profile.auth);
        profile.structured = own.structured.unwrap_or(profile.structured);
        profile.schema = own.schema.unwrap_or(profile.schema);
        profile.params = own.params.unwrap_or(profile.params);
        profile.max_tokens_field = own.max_tokens_field.unwrap_or(profile.max_tokens_field);
        profile.extra.extend(own.extra);
        profile.headers.extend(own.headers);
        profile.ca_file = own.ca_file.map(|path| config.resolve(&path));
        profile.proxy = own.proxy;
        profile.timeout =
            own.timeout_seconds.map_or(profile.timeout, |seconds| Duration::from_secs(seconds.max(1)));
        profile.max_attempts = own.max_attempts.unwrap_or(profile.max_attempts).max(1);
        profile.concurrency = own.concurrency.unwrap_or(profile.concurrency).max(1);
        check_url(&profile.base_url).map_err(invalid)?;
        if let Some(proxy) = &profile.proxy {
            check_proxy(proxy).map_err(invalid)?;
        }
        Ok(profile)
    }

    /// The provider with its key, where it needs one.
    ///
    /// # Errors
    /// `E_KEY_MISSING`.
    pub fn with_key(self, environment: &Environment) -> Result<(Self, Option<SecretString>), Diagnostics> {
        let Some(name) = &self.api_key_env else { return Ok((self, None)) };
        match environment.get(name) {
            Some(key) => Ok((self, Some(key))),
            None => {
                let message = format!(
                    "provider `{}` needs the environment variable {name}, which is not set",
                    self.name
                );
                let hint =
                    "set it, or write it into .env beside assay.toml; replaying recordings needs no key";
                Err(Diagnostic::new("E_KEY_MISSING", message).hint(hint).into())
            }
        }
    }

    /// Whether a sampling parameter is sent.
    pub fn takes(&self, parameter: &str) -> bool {
        self.params.iter().any(|known| known == parameter)
    }
}

/// The keys of all providers that are set: what must be in no file, whichever provider a run uses.
pub fn all_secrets(config: &Config, environment: &Environment) -> Secrets {
    let names = BUILT_IN.into_iter().chain(config.providers.keys().map(String::as_str));
    let keys: Vec<SecretString> = names
        .filter_map(|name| Profile::resolve(config, name).ok()?.api_key_env)
        .filter_map(|variable| environment.get(&variable))
        .collect();
    Secrets::new(&keys)
}

/// Only https, or http on this machine; nobody's credentials in the address; no link-local (cloud metadata) addresses.
fn check_url(url: &str) -> Result<(), String> {
    let (scheme, host) = scheme_and_host(url, "base_url")?;
    let address = host.parse::<std::net::IpAddr>().ok();
    let link_local = match address {
        Some(std::net::IpAddr::V4(v4)) => v4.is_link_local() || v4.is_unspecified(),
        Some(std::net::IpAddr::V6(v6)) => v6.is_unicast_link_local() || v6.is_unspecified(),
        None => host.eq_ignore_ascii_case("metadata.google.internal"),
    };
    if link_local {
        return Err(format!("`{host}` is a link-local address"));
    }
    let loopback =
        host.eq_ignore_ascii_case("localhost") || address.is_some_and(|address| address.is_loopback());
    match scheme {
        "https" => Ok(()),
        "http" if loopback => Ok(()),
        "http" => Err(format!("`{url}` is not encrypted; http is only for this machine")),
        _ => Err(format!("`{scheme}` is not http or https")),
    }
}

/// A proxy may be spoken to in the clear: what goes through it is encrypted for the provider.
fn check_proxy(url: &str) -> Result<(), String> {
    match scheme_and_host(url, "proxy")?.0 {
        "http" | "https" => Ok(()),
        scheme => Err(format!("`{scheme}` is not http or https")),
    }
}

fn scheme_and_host<'a>(url: &'a str, key: &str) -> Result<(&'a str, &'a str), String> {
    let (scheme, rest) = url.split_once("://").ok_or_else(|| format!("`{url}` is not an address"))?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err(format!("`{key}` must not hold a user or password"));
    }
    let host = match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    if host.is_empty() {
        return Err(format!("`{url}` has no host"));
    }
    Ok((scheme, host))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        Config::parse("assay.toml".as_ref(), text).expect("config")
    }

    #[test]
    fn built_in_providers_can_be_changed_and_own_ones_added() {
        let config = config(
            "[providers.llama-server]\nbase_url = \"http://127.0.0.1:18080/v1/\"\n\
             [providers.gateway]\nwire = \"responses\"\nbase_url = \"https://llm.example.com/v1\"\napi_key_env = \"GATEWAY_KEY\"\n\
             [providers.keyless]\nwire = \"chat\"\nbase_url = \"http://localhost:1234/v1\"\nparams = []\n",
        );
        let llama = Profile::resolve(&config, "llama-server").unwrap();
        assert_eq!((llama.base_url.as_str(), llama.concurrency), ("http://127.0.0.1:18080/v1", 1));
        assert_eq!(Profile::resolve(&config, "gateway").unwrap().api_key_env.as_deref(), Some("GATEWAY_KEY"));
        let keyless = Profile::resolve(&config, "keyless").unwrap();
        assert_eq!(keyless.api_key_env, None, "another provider's key is never sent to it");
        assert!(!keyless.takes("temperature"));
        assert_eq!(Profile::resolve(&config, "nope").unwrap_err().0[0].code, "E_PROVIDER_UNKNOWN");
    }

    #[test]
    fn addresses_are_checked() {
        for (url, good) in [
            ("https://api.example.com/v1", true),
            ("http://localhost:8080/v1", true),
            ("http://127.0.0.1/v1", true),
            ("http://[::1]:80/v1", true),
            ("http://api.example.com/v1", false),
            ("http://localhost.example.com/v1", false),
            ("https://user:password@api.example.com", false),
            ("http://127.0.0.1@example.com", false),
            ("https://169.254.169.254/latest", false),
            ("https://[fe80::1]/", false),
            ("ftp://127.0.0.1", false),
            ("api.example.com", false),
        ] {
            assert_eq!(check_url(url).is_ok(), good, "{url}");
        }
        for (url, good) in [
            ("http://proxy.example.com:3128", true),
            ("https://proxy.example.com", true),
            ("http://me:secret@proxy.example.com", false),
            ("socks5://proxy.example.com", false),
            ("proxy.example.com:3128", false),
        ] {
            assert_eq!(check_proxy(url).is_ok(), good, "{url}");
        }
        for wrong in ["base_url = \"http://x.example\"", "base_url = \"https://x.example\"\nproxy = \"x\""] {
            let faults =
                Profile::resolve(&config(&format!("[providers.x]\nwire = \"chat\"\n{wrong}\n")), "x");
            assert_eq!(faults.unwrap_err().0[0].code, "E_PROVIDER_INVALID", "{wrong}");
        }
    }
}
