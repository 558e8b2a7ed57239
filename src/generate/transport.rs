//! The only module that opens connections: one client a provider, attempts with backoff, limits of time and size.
//!
//! No redirects, no ambient proxy, TLS by rustls. A retried request may be billed twice, so attempts are counted.

mod limiter;
mod retry_after;

use std::path::Path;
use std::sync::{Mutex, Once};
use std::time::{Duration, Instant};

use serde_json::Value;

pub use limiter::Limiter;

use super::error::{ErrorClass, GenerateError};
use super::profile::{Auth, Profile};
use super::request::{LlmReply, LlmRequest};
use super::secrets::{SecretString, Secrets};
use super::wire::{self, HttpReply};
use retry_after::RetryAfter;

/// The largest body that is read, decompressed, in bytes.
pub const MAX_BODY: usize = 8 * 1024 * 1024;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const FIRST_DELAY: Duration = Duration::from_millis(500);
const MAX_DELAY: Duration = Duration::from_secs(8);
/// The longest pause that follows one that was longer than meant.
const LONGEST_DELAY: Duration = Duration::from_secs(30);
/// A server that asks for a longer pause is not waited for.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(120);

/// A reply and what it took to get it.
#[derive(Debug, Clone, PartialEq)]
pub struct Exchange {
    /// The reply, redacted.
    pub reply: LlmReply,
    /// Attempts made, the last included.
    pub attempts: u32,
    /// Time of the last attempt.
    pub latency: Duration,
    /// The provider's id of the request.
    pub request_id: Option<String>,
    /// The body ended in the middle, in every attempt, but behind the answer.
    pub cut_off: bool,
}

/// A connection to one provider.
#[derive(Debug)]
pub struct Transport {
    client: reqwest::Client,
    profile: Profile,
    key: Option<SecretString>,
    secrets: Secrets,
    limiter: Limiter,
    jitter: Mutex<u64>,
}

/// The certificate authorities of a PEM file.
fn certificates(path: &Path) -> Result<Vec<reqwest::Certificate>, String> {
    let name = path.display();
    let pem = fs_err::read(path).map_err(|error| format!("ca_file: {error}"))?;
    let found =
        reqwest::Certificate::from_pem_bundle(&pem).map_err(|error| format!("ca_file {name}: {error}"))?;
    if found.is_empty() {
        return Err(format!("ca_file {name} holds no certificate (PEM)"));
    }
    Ok(found)
}

impl Transport {
    /// Opens a client for a provider; nothing is sent yet.
    ///
    /// # Errors
    /// `Config` when the client cannot be made (no root certificates, an unreadable `ca_file`).
    pub fn new(profile: Profile, key: Option<SecretString>, secrets: Secrets) -> Result<Self, GenerateError> {
        static PROVIDER: Once = Once::new();
        PROVIDER.call_once(|| {
            // An error only says that somebody installed one before.
            let _ = rustls::crypto::ring::default_provider().install_default();
        });
        let fault = |message: String| GenerateError::new(ErrorClass::Config, message);
        #[expect(clippy::disallowed_methods, reason = "this module owns the network")]
        let mut client = reqwest::Client::builder()
            .user_agent(concat!("assay/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(Duration::from_secs(30));
        if let Some(path) = &profile.ca_file {
            client = client.tls_certs_merge(certificates(path).map_err(fault)?);
        }
        if let Some(proxy) = &profile.proxy {
            let proxy =
                reqwest::Proxy::all(proxy).map_err(|error| fault(format!("proxy {proxy}: {error}")))?;
            client = client.proxy(proxy);
        }
        let client = client.build().map_err(|error| fault(format!("cannot open an HTTP client: {error}")))?;
        let limiter = Limiter::new(profile.concurrency);
        Ok(Self { client, profile, key, secrets, limiter, jitter: Mutex::new(0x9e37_79b9_7f4a_7c15) })
    }

    /// The provider.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// Sends a request until there is a reply, a fault that another attempt cannot mend, or no attempt left.
    ///
    /// # Errors
    /// The last fault, redacted, with the attempts made.
    pub async fn send(&self, request: &LlmRequest) -> Result<Exchange, GenerateError> {
        let body = wire::encode(request, &self.profile);
        let mut attempt = 0;
        let mut failed_at: Option<Instant> = None;
        loop {
            attempt += 1;
            let permit = self.limiter.acquire(attempt > 1).await;
            let started = Instant::now();
            let waited = failed_at.map(|at| started.duration_since(at)).unwrap_or_default();
            let result = self.post(wire::path(self.profile.wire), &body).await;
            let latency = started.elapsed();
            let (mut result, http) = match result {
                Ok(http) => (wire::decode(request, &self.profile, &http), Some(http)),
                Err(error) => (Err(error), None),
            };
            let mut cut_off = false;
            if let (Err(error), Some(http)) = (&result, &http)
                && error.class == ErrorClass::Malformed
                && attempt >= self.profile.max_attempts
                && let Some(reply) = wire::cut_off::read(request, &self.profile, http)
            {
                (result, cut_off) = (Ok(reply), true);
            }
            let after = http.as_ref().map(RetryAfter::read).unwrap_or_default();
            let error = match result {
                Ok(mut reply) => {
                    permit.succeeded(after.exhausted);
                    self.redact(&mut reply);
                    let request_id = http.as_ref().and_then(request_id);
                    return Ok(Exchange { reply, attempts: attempt, latency, request_id, cut_off });
                }
                Err(error) => error,
            };
            let limited = matches!(error.class, ErrorClass::RateLimited | ErrorClass::Overloaded);
            permit.failed(limited, after.delay.filter(|_| error.class == ErrorClass::RateLimited));
            let retry = after.should_retry.unwrap_or(true) && error.class.is_retryable()
                || after.should_retry == Some(true) && !error.class.is_fatal();
            let delay = after.delay.unwrap_or_else(|| self.backoff(attempt, waited));
            if !retry || attempt >= self.profile.max_attempts || delay > MAX_RETRY_AFTER {
                return Err(self.finish(error, attempt, delay));
            }
            failed_at = Some(Instant::now());
            tokio::time::sleep(delay).await;
        }
    }

    /// Posts a body to a path and returns whatever HTTP came back.
    ///
    /// # Errors
    /// `Timeout`, `Network`, `Malformed` (too large, or cut off).
    pub async fn post(&self, path: &str, body: &Value) -> Result<HttpReply, GenerateError> {
        let mut call = self
            .client
            .post(format!("{}{path}", self.profile.base_url))
            .timeout(self.profile.timeout)
            .header("content-type", "application/json")
            .header("accept", "application/json");
        for (name, value) in &self.profile.headers {
            call = call.header(name, value);
        }
        if let Some(key) = &self.key {
            let (name, text) = match self.profile.auth {
                Auth::Bearer => ("authorization", format!("Bearer {}", key.expose().trim())),
                Auth::XApiKey => ("x-api-key", key.expose().trim().to_owned()),
                Auth::ApiKey => ("api-key", key.expose().trim().to_owned()),
            };
            let mut value = reqwest::header::HeaderValue::from_str(&text).map_err(|_| {
                GenerateError::new(
                    ErrorClass::Auth,
                    "the API key holds characters that no HTTP header can have",
                )
            })?;
            value.set_sensitive(true);
            call = call.header(name, value);
        }
        let mut response = call.body(body.to_string()).send().await.map_err(|error| self.network(&error))?;
        let status = response.status().as_u16();
        let headers = response
            .headers()
            .iter()
            .map(|(name, value)| {
                (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
            })
            .collect();
        let too_large = || {
            GenerateError::new(
                ErrorClass::Malformed,
                format!("the server's reply is larger than {MAX_BODY} bytes"),
            )
        };
        if response.content_length().is_some_and(|length| length > MAX_BODY as u64) {
            return Err(too_large());
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.network(&error))? {
            if bytes.len() + chunk.len() > MAX_BODY {
                return Err(too_large());
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(HttpReply { status, headers, body: bytes })
    }

    fn network(&self, error: &reqwest::Error) -> GenerateError {
        let mut causes = vec![error.to_string()];
        let mut source = std::error::Error::source(error);
        while let Some(cause) = source {
            causes.push(cause.to_string());
            source = cause.source();
        }
        let text = causes.last().cloned().unwrap_or_default();
        let (class, message) = if error.is_timeout() {
            (ErrorClass::Timeout, format!("no reply within {} s", self.profile.timeout.as_secs()))
        } else if error.is_decode() || error.is_body() {
            (ErrorClass::Malformed, format!("the reply was cut off: {text}"))
        } else {
            (ErrorClass::Network, format!("cannot reach {}: {text}", self.profile.base_url))
        };
        GenerateError::new(class, message)
    }

    /// Half a second, doubled with every attempt up to eight, minus up to a quarter: so that clients don't come back in
    /// step. A pause that was longer than meant, in the queue or for others' sake, is not followed by a shorter one.
    fn backoff(&self, attempt: u32, waited: Duration) -> Duration {
        let full = FIRST_DELAY.saturating_mul(1 << attempt.saturating_sub(1).min(10)).min(MAX_DELAY);
        let longer = waited.mul_f64(1.5).min(LONGEST_DELAY);
        let mut state = self.jitter.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = *state;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        let share = (mixed >> 40) as f64 / f64::from(1 << 24);
        full.mul_f64(1.0 - share / 4.0).max(longer)
    }

    fn finish(&self, mut error: GenerateError, attempts: u32, delay: Duration) -> GenerateError {
        error.attempts = attempts;
        error.message = self.secrets.redact(&error.message);
        if delay > MAX_RETRY_AFTER && error.class == ErrorClass::RateLimited {
            error.hint =
                Some(format!("the server asks to wait {} s; run the same command later", delay.as_secs()));
        }
        error
    }

    fn redact(&self, reply: &mut LlmReply) {
        let secrets = &self.secrets;
        reply.text = reply.text.take().map(|text| secrets.redact(&text));
        for call in &mut reply.tool_calls {
            call.name = secrets.redact(&call.name);
            call.arguments = secrets.redact(&call.arguments);
        }
        for field in
            [&mut reply.model, &mut reply.response_id, &mut reply.system_fingerprint, &mut reply.service_tier]
        {
            *field = field.take().map(|text| secrets.redact(&text));
        }
        let outcome = serde_json::to_value(&reply.outcome).ok().and_then(|mut value| {
            secrets.redact_json(&mut value);
            serde_json::from_value(value).ok()
        });
        reply.outcome = outcome.unwrap_or_else(|| reply.outcome.clone());
    }
}

fn request_id(http: &HttpReply) -> Option<String> {
    ["x-request-id", "request-id"].into_iter().find_map(|name| http.header(name).next()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_never_shrink_after_one_that_was_longer_than_meant() {
        let profile = Profile::built_in("llama-server").expect("built in");
        let transport = Transport::new(profile, None, Secrets::default()).expect("a client");
        let pause =
            |attempt, waited| transport.backoff(attempt, Duration::from_secs_f64(waited)).as_secs_f64();
        for (attempt, most) in [(1, 0.5), (2, 1.0), (3, 2.0), (4, 4.0), (5, 8.0), (6, 8.0), (40, 8.0)] {
            let found = pause(attempt, 0.0);
            assert!((most * 0.75..=most).contains(&found), "attempt {attempt}: {found}");
        }
        for waited in [0.6, 5.7, 8.0, 15.0] {
            assert!(pause(2, waited) > waited * 1.4, "{waited}");
        }
        assert!((pause(2, 3600.0) - 30.0).abs() < 1e-9);
    }
}
