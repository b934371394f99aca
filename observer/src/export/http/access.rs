//! Who may ask, and under which certificate: the web configuration, as the exporters of Prometheus
//! read it (`exporter-toolkit`), and a bearer token beside it.
//!
//! ```yaml
//! tls_server_config: { cert_file: observer.crt, key_file: observer.key }
//! basic_auth_users: { prometheus: $2y$10$… }
//! bearer_token_file: token
//! ```
//!
//! Passwords are known by their bcrypt hashes and the token by its digest; neither reaches a log or
//! an error.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bcrypt::HashParts;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, ServerConfig};

/// The file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebSettings {
    tls_server_config: Option<TlsFiles>,
    #[serde(default)]
    basic_auth_users: BTreeMap<String, String>,
    bearer_token_file: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TlsFiles {
    cert_file: PathBuf,
    key_file: PathBuf,
}

/// Why a web configuration cannot come into force.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// A file that it names.
    #[error("cannot read the {0} {1}: {2}")]
    Unreadable(&'static str, PathBuf, io::Error),
    /// A file that holds something else.
    #[error("{1} holds no {0}")]
    Empty(&'static str, PathBuf),
    /// The certificate and the key, one for the other.
    #[error("the certificate {0} cannot be served: {1}")]
    Unfit(PathBuf, rustls::Error),
    /// A password where its hash belongs.
    #[error("basic_auth_users: what {0} has is no bcrypt hash; `htpasswd -nB {0}` makes one")]
    NoHash(String),
}

type Digest = [u8; 32];

/// What is in force.
#[derive(Debug, Default)]
pub struct Access {
    pub(super) tls: Option<Arc<ServerConfig>>,
    users: BTreeMap<String, String>,
    token: Option<Digest>,
    /// Digests of what was proven to be right: a hash is made to be slow, and a scrape comes every
    /// few seconds.
    proven: Mutex<Vec<Digest>>,
    /// The files that it was read from, beside the configuration itself.
    pub(super) files: Vec<PathBuf>,
}

/// What a header `Authorization` comes to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Granted,
    Denied,
    /// To be found out by [`Access::prove`], which takes its time.
    Unproven(Credentials),
}

/// A name and a password.
#[derive(PartialEq, Eq)]
pub(super) struct Credentials {
    user: String,
    password: Vec<u8>,
}

impl Access {
    /// Reads what the settings name; paths are relative to their file's directory.
    ///
    /// # Errors
    /// One sentence for what cannot be read or does not fit.
    pub fn new(settings: WebSettings, directory: &Path) -> Result<Self, AccessError> {
        let mut files = Vec::new();
        let tls = settings.tls_server_config.map(|named| {
            let [certificate, key] = [named.cert_file, named.key_file].map(|p| directory.join(p));
            files.extend([certificate.clone(), key.clone()]);
            server(&certificate, &key)
        });
        let token = settings.bearer_token_file.map(|named| {
            let file = directory.join(named);
            files.push(file.clone());
            token(&file)
        });
        for (user, hash) in &settings.basic_auth_users {
            if hash.parse::<HashParts>().is_err() {
                return Err(AccessError::NoHash(user.clone()));
            }
        }
        Ok(Self {
            tls: tls.transpose()?,
            users: settings.basic_auth_users,
            token: token.transpose()?,
            proven: Mutex::default(),
            files,
        })
    }

    /// Whether a request with this header `Authorization` may be answered.
    pub(super) fn judge(&self, header: Option<&[u8]>) -> Verdict {
        if self.users.is_empty() && self.token.is_none() {
            return Verdict::Granted;
        }
        match header.and_then(Claim::read) {
            None => Verdict::Denied,
            Some(Claim::Token(token)) => {
                let right = self
                    .token
                    .is_some_and(|known| same(&known, &digest(&[token])));
                if right {
                    Verdict::Granted
                } else {
                    Verdict::Denied
                }
            }
            Some(Claim::Password(credentials)) if self.is_proven(&credentials) => {
                drop(credentials);
                Verdict::Granted
            }
            Some(Claim::Password(credentials)) => Verdict::Unproven(credentials),
        }
    }

    /// Compares with the user's hash; slow, as the hash was made to be. For a user that is not known
    /// it takes as long.
    pub(super) fn prove(&self, credentials: &Credentials) -> bool {
        let known = self.users.get(&credentials.user);
        let Some(hash) = known.or_else(|| self.users.values().next()) else {
            return false;
        };
        let right = bcrypt::verify(&credentials.password, hash).unwrap_or(false);
        let right = right && known.is_some();
        if right {
            let mut proven = self.proven();
            // One each: a hash has one password, up to what of it bcrypt does not look at.
            if proven.len() >= self.users.len() {
                proven.remove(0);
            }
            proven.push(credentials.digest());
        }
        right
    }

    /// By which scheme a client is asked to come again.
    pub(super) fn challenge(&self) -> &'static str {
        if self.users.is_empty() {
            "Bearer"
        } else {
            "Basic realm=\"observer\""
        }
    }

    fn is_proven(&self, credentials: &Credentials) -> bool {
        let digest = credentials.digest();
        // All of them, whichever it is.
        self.proven()
            .iter()
            .fold(false, |found, known| found | same(known, &digest))
    }

    fn proven(&self) -> MutexGuard<'_, Vec<Digest>> {
        self.proven.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn server(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, AccessError> {
    let read = |what, file: &Path| {
        fs::read(file).map_err(|error| AccessError::Unreadable(what, file.to_owned(), error))
    };
    let empty = |what, file: &Path| AccessError::Empty(what, file.to_owned());
    let text = read("certificate", certificate)?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(|_| empty("certificate", certificate))?;
    if chain.is_empty() {
        return Err(empty("certificate", certificate));
    }
    let secret = PrivateKeyDer::from_pem_slice(&read("key", key)?);
    let secret = secret.map_err(|_| empty("private key", key))?;
    let unfit = |error| AccessError::Unfit(certificate.to_owned(), error);
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(unfit)?
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .map_err(unfit)?;
    Ok(Arc::new(config))
}

fn token(file: &Path) -> Result<Digest, AccessError> {
    let text = fs::read(file)
        .map_err(|error| AccessError::Unreadable("bearer token", file.to_owned(), error))?;
    match text.trim_ascii() {
        [] => Err(AccessError::Empty("bearer token", file.to_owned())),
        token => Ok(digest(&[token])),
    }
}

/// Digests are compared rather than what they are of: they have one length, whatever a client sends.
fn digest(parts: &[&[u8]]) -> Digest {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update(part.len().to_le_bytes());
        digest.update(part);
    }
    digest.finalize().into()
}

/// In the same time, wherever they differ.
fn same(one: &Digest, other: &Digest) -> bool {
    one.ct_eq(other).into()
}

/// What a client says it is.
enum Claim<'a> {
    Token(&'a [u8]),
    Password(Credentials),
}

impl<'a> Claim<'a> {
    fn read(header: &'a [u8]) -> Option<Self> {
        use base64::Engine as _;
        use base64::prelude::BASE64_STANDARD;

        let space = header.iter().position(|byte| *byte == b' ')?;
        let (scheme, rest) = header.split_at_checked(space)?;
        let rest = rest.trim_ascii();
        if scheme.eq_ignore_ascii_case(b"bearer") {
            return Some(Self::Token(rest));
        }
        if !scheme.eq_ignore_ascii_case(b"basic") {
            return None;
        }
        let mut pair = BASE64_STANDARD.decode(rest).ok()?;
        let colon = pair.iter().position(|byte| *byte == b':')?;
        let password = pair.split_off(colon).split_off(1);
        let user = String::from_utf8(pair).ok()?;
        Some(Self::Password(Credentials { user, password }))
    }
}

impl Credentials {
    fn digest(&self) -> Digest {
        digest(&[self.user.as_bytes(), &self.password])
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::prelude::BASE64_STANDARD;

    use super::*;

    /// Of a test, so that it need not be slow.
    const COST: u32 = 4;

    fn access(token: Option<&str>) -> Access {
        let hash = bcrypt::hash("secret", COST).unwrap();
        Access {
            users: [("prometheus".to_owned(), hash)].into(),
            token: token.map(|token| digest(&[token.as_bytes()])),
            ..Access::default()
        }
    }

    fn basic(pair: &str) -> Vec<u8> {
        format!("Basic {}", BASE64_STANDARD.encode(pair)).into_bytes()
    }

    fn is_let_in(access: &Access, header: &[u8]) -> bool {
        match access.judge(Some(header)) {
            Verdict::Granted => true,
            Verdict::Denied => false,
            Verdict::Unproven(credentials) => access.prove(&credentials),
        }
    }

    #[test]
    fn without_users_and_token_everybody_is_let_in() {
        assert_eq!(Access::default().judge(None), Verdict::Granted);
    }

    #[test]
    fn only_the_right_header_is_let_in() {
        let access = access(Some("token"));
        let cases: [(Vec<u8>, bool); 10] = [
            (basic("prometheus:secret"), true),
            (basic("prometheus:Secret"), false),
            (basic("prometheus:"), false),
            (basic("prometheus"), false),
            (basic("somebody:secret"), false),
            (b"Basic prometheus:secret".into(), false),
            (b"bearer  token".into(), true),
            (b"Bearer token2".into(), false),
            (b"Bearer".into(), false),
            (b"Digest token".into(), false),
        ];
        for (header, expected) in cases {
            let said = String::from_utf8_lossy(&header).into_owned();
            assert_eq!(is_let_in(&access, &header), expected, "{said}");
        }
        assert_eq!(access.judge(None), Verdict::Denied);
    }

    #[test]
    fn a_token_is_none_of_a_server_that_has_users_only() {
        assert!(!is_let_in(&access(None), b"Bearer token"));
    }

    #[test]
    fn what_was_proven_once_is_not_hashed_again_and_nothing_else_passes_for_it() {
        let access = access(None);
        let right = basic("prometheus:secret");
        assert!(matches!(access.judge(Some(&right)), Verdict::Unproven(_)));
        assert!(is_let_in(&access, &right));
        assert_eq!(access.judge(Some(&right)), Verdict::Granted);
        assert!(!is_let_in(&access, &basic("prometheus:wrong")));
        assert!(!is_let_in(&access, &basic("prometheussecret:")));
    }

    #[test]
    fn a_password_where_its_hash_belongs_is_refused_and_not_repeated() {
        let settings = WebSettings {
            basic_auth_users: [("prometheus".to_owned(), "hunter2".to_owned())].into(),
            ..WebSettings::default()
        };
        let error = Access::new(settings, Path::new("/"))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("prometheus") && !error.contains("hunter2"),
            "{error}"
        );
    }
}
