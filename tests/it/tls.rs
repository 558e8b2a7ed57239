//! How a provider is reached from inside a company: its own certificate authority, and a proxy.

use std::path::PathBuf;
use std::sync::Arc;

use assay::config::Config;
use assay::generate::profile::Profile;
use assay::generate::secrets::Secrets;
use assay::generate::transport::Transport;
use assay::generate::{ErrorClass, GenerateError};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use super::fault_server::{Act, Server, block_on, request};

/// Speaks TLS for a server, with a certificate that only the authority in `ca.pem` vouches for.
async fn encrypted(server: &Server, folder: &std::path::Path) -> (String, PathBuf) {
    let mut params = rcgen::CertificateParams::new(Vec::new()).expect("parameters");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca_key = rcgen::KeyPair::generate().expect("a key");
    let ca = rcgen::CertifiedIssuer::self_signed(params, ca_key).expect("an authority");
    let key = rcgen::KeyPair::generate().expect("a key");
    let leaf = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).expect("parameters");
    let certificate = leaf.signed_by(&key, &ca).expect("a certificate");
    let path = folder.join("ca.pem");
    fs_err::write(&path, ca.pem()).expect("written");

    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("protocols")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .expect("a server");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let plain = server.base_url["http://".len()..].trim_end_matches("/v1").to_owned();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, plain) = (acceptor.clone(), plain.clone());
            tokio::spawn(async move {
                // A client that does not trust the certificate hangs up.
                let Ok(mut outside) = acceptor.accept(stream).await else { return };
                let mut inside = TcpStream::connect(plain).await.expect("the server");
                let _ = tokio::io::copy_bidirectional(&mut outside, &mut inside).await;
            });
        }
    });
    (format!("https://localhost:{port}/v1"), path)
}

async fn send(base_url: &str, more: &str) -> Result<Option<String>, GenerateError> {
    let toml =
        format!("[providers.p]\nwire = \"responses\"\nbase_url = \"{base_url}\"\nmax_attempts = 1\n{more}\n");
    let config = Config::parse("assay.toml".as_ref(), &toml).expect("a configuration");
    let profile = Profile::resolve(&config, "p").expect("a provider");
    let transport = Transport::new(profile, None, Secrets::default())?;
    transport.send(&request()).await.map(|exchange| exchange.reply.text)
}

#[test]
fn a_companys_own_authority_is_trusted_only_where_it_is_named() {
    block_on(async {
        let folder = tempfile::tempdir().expect("a folder");
        let server = Server::start(vec![Act::Answer("fine".to_owned())]).await;
        let (url, ca) = encrypted(&server, folder.path()).await;
        let error = send(&url, "").await.expect_err("nobody vouches for it");
        assert_eq!((error.class, server.count()), (ErrorClass::Network, 0), "{}", error.message);
        let trusted = send(&url, &format!("ca_file = \"{}\"", ca.display())).await;
        assert_eq!(trusted.expect("an answer").as_deref(), Some("fine"));
    });
}

#[test]
fn an_authority_that_cannot_be_read_is_a_fault_of_the_configuration() {
    block_on(async {
        let folder = tempfile::tempdir().expect("a folder");
        let empty = folder.path().join("empty.pem");
        fs_err::write(&empty, "no certificate\n").expect("written");
        for path in [empty, folder.path().join("missing.pem")] {
            let error = send("https://localhost:9/v1", &format!("ca_file = \"{}\"", path.display())).await;
            let error = error.expect_err("no authority");
            assert_eq!(error.class, ErrorClass::Config);
            assert!(error.message.contains(&path.display().to_string()), "{}", error.message);
        }
    });
}

#[test]
fn requests_go_through_the_proxy_that_is_named() {
    block_on(async {
        let proxy = Server::start(vec![Act::Answer("fine".to_owned())]).await;
        let named = format!("proxy = \"{}\"", proxy.base_url.trim_end_matches("/v1"));
        // Nobody listens on the port of the provider itself.
        let answer = send("http://localhost:9/v1", &named).await;
        assert_eq!(answer.expect("an answer").as_deref(), Some("fine"));
        assert_eq!(proxy.count(), 1);
    });
}
