//! TLS of the network listener: 1.2 and newer, with forward secrecy (row A8).

use openssl::ssl::{AlpnError, SslAcceptor, SslFiletype, SslMethod, select_next_proto};
use std::path::{Path, PathBuf};

/// Why TLS cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be used.
    #[error("failed to use `{}` for TLS on the API", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: openssl::error::ErrorStack,
    },
    /// The two do not belong together.
    #[error("the key `{}` is not that of the certificate `{}`", key.display(), certificate.display())]
    Mismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// OpenSSL cannot be set up.
    #[error("failed to set up TLS")]
    SetUp(#[from] openssl::error::ErrorStack),
}

/// What accepts TLS connections, from a certificate with its chain and its key, both PEM files.
///
/// # Errors
/// When one is none, or they do not belong together.
pub fn acceptor(certificate: &Path, key: &Path) -> Result<SslAcceptor, TlsError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| TlsError::File { path, source }
    };
    let mut builder = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server())?;
    builder.set_certificate_chain_file(certificate).map_err(failed(certificate))?;
    builder.set_private_key_file(key, SslFiletype::PEM).map_err(failed(key))?;
    let mismatch = |_| TlsError::Mismatch { certificate: certificate.to_owned(), key: key.to_owned() };
    builder.check_private_key().map_err(mismatch)?;
    builder.set_alpn_select_callback(|_, offered| select_next_proto(b"\x08http/1.1", offered).ok_or(AlpnError::NOACK));
    Ok(builder.build())
}
