//! TLS, where a gate takes it off by itself.

use axum_server::tls_rustls::RustlsConfig;
use process::{ConfigError, Secret};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use std::{path::Path, str::FromStr, sync::Arc};

/// A certificate, the chain above it, and its private key. Its `Debug` shows nothing.
#[derive(Clone, Debug)]
pub struct Certificate(pub(crate) RustlsConfig);

impl Certificate {
    /// From the text of a PEM file (RFC 7468), the certificate before those above it, the key anywhere. TLS 1.2 or 1.3; HTTP/2 or HTTP/1.1.
    ///
    /// # Errors
    /// When there is no certificate or no key, or they do not belong together.
    pub fn from_pem(pem: &[u8]) -> Result<Self, ConfigError> {
        let chain = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
        let chain = chain.map_err(|error| ConfigError(format!("is no PEM file: {error}")))?;
        if chain.is_empty() {
            return Err(ConfigError("has no certificate (BEGIN CERTIFICATE)".to_owned()));
        }
        let key = PrivateKeyDer::from_pem_slice(pem).map_err(|_| {
            ConfigError("has no private key that is not encrypted (BEGIN PRIVATE KEY)".to_owned())
        })?;
        let refused = |error: rustls::Error| ConfigError(format!("cannot be used: {error}"));
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(refused)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(refused)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self(RustlsConfig::from_config(Arc::new(config))))
    }
}

impl FromStr for Certificate {
    type Err = ConfigError;
    /// From the path of the file that holds it, for `clap`.
    fn from_str(path: &str) -> Result<Self, ConfigError> {
        let pem = Secret::read(Path::new(path))?;
        Self::from_pem(pem.expose().as_bytes())
            .map_err(|ConfigError(what)| ConfigError(format!("the certificate file {path} {what}")))
    }
}
