//! What stands between the agent and the API, in one sentence that never holds what was sent: a
//! token, the output of a command that makes one, or an object may be in what libraries say.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::Path;

use kube::client::AuthError;
use kube::config::{InClusterError, KubeconfigError, LoadDataError};
use tokio_rustls::rustls;

use super::bounded::TooLong;

/// Why a request came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// What was known is too old to go on from: it is listed again. No fault of anybody.
    Expired,
    /// The account may not do this.
    Forbidden,
    /// The token is not, or no longer, known.
    Unauthorized,
    /// The API answers with another status.
    Status(u16),
    /// No connection, or one that broke.
    Unreachable(String),
    /// The certificate is not what it should be.
    Certificate(String),
    /// Nothing came for too long.
    Late,
    /// A line of a watch, or a page of a list, is longer than any is to be.
    Long,
    /// Something else than the API answers.
    Garbled,
    /// How it is reached, or by whom, is not known.
    Configuration(String),
}

impl Trouble {
    /// Whether files may by now say otherwise how the API is reached.
    pub(super) fn is_of_files(&self) -> bool {
        matches!(
            self,
            Self::Unauthorized | Self::Certificate(_) | Self::Configuration(_)
        )
    }

    pub(super) fn configuration(error: &KubeconfigError, file: &Path) -> Self {
        let file = file.display();
        Self::Configuration(match error {
            KubeconfigError::ReadConfig(error, _) => format!("{file} cannot be read: {error}"),
            KubeconfigError::CurrentContextNotSet | KubeconfigError::LoadContext(_) => {
                format!("{file} has no current context")
            }
            KubeconfigError::LoadClusterOfContext(_) | KubeconfigError::MissingClusterUrl => {
                format!("{file} does not say where the cluster of its context is")
            }
            KubeconfigError::LoadCertificateAuthority(LoadDataError::ReadFile(error, path))
            | KubeconfigError::LoadClientCertificate(LoadDataError::ReadFile(error, path))
            | KubeconfigError::LoadClientKey(LoadDataError::ReadFile(error, path)) => {
                format!("{} cannot be read: {error}", path.display())
            }
            _ => format!("{file} is no kubeconfig that is understood"),
        })
    }

    pub(super) fn around(error: &InClusterError) -> Self {
        Self::Configuration(match error {
            InClusterError::ReadEnvironmentVariable(_) => {
                "this is no pod (KUBERNETES_SERVICE_HOST is not set), and there is no \
                 kubernetes.kubeconfig"
                    .into()
            }
            InClusterError::ReadDefaultNamespace(error)
            | InClusterError::ReadCertificateBundle(error) => {
                format!("the pod's service account cannot be read: {error}")
            }
            _ => "the pod's service account is not understood".into(),
        })
    }

    fn credentials(error: &AuthError) -> Self {
        Self::Configuration(match error {
            AuthError::ReadTokenFile(error, path) => {
                format!("the token {} cannot be read: {error}", path.display())
            }
            AuthError::AuthExecStart(error) => {
                format!("the kubeconfig's command cannot be run: {error}")
            }
            _ => "the kubeconfig's credentials cannot be had".into(),
        })
    }

    /// Of a service below the client, which hides what it met.
    fn of_service(error: &(dyn Error + 'static)) -> Self {
        let mut cause = Some(error);
        let mut found = None;
        while let Some(error) = cause {
            if let Some(error) = error.downcast_ref::<AuthError>() {
                return Self::credentials(error);
            }
            if error.is::<TooLong>() {
                return Self::Long;
            }
            if let Some(error) = error.downcast_ref::<io::Error>() {
                found = Some(error.kind());
                // What an error of this kind holds is not among its sources, and may be another.
                let mut inner = error.get_ref();
                while let Some(held) = inner {
                    if let Some(error) = held.downcast_ref::<rustls::Error>() {
                        return Self::Certificate(certificate(error));
                    }
                    let error = held.downcast_ref::<io::Error>();
                    found = error.map(io::Error::kind).or(found);
                    inner = error.and_then(io::Error::get_ref);
                }
            }
            cause = error.source();
        }
        match found {
            Some(io::ErrorKind::TimedOut) => Self::Late,
            Some(kind) => Self::Unreachable(kind.to_string()),
            None => Self::Unreachable("the connection broke".into()),
        }
    }
}

/// Without moments and names, so that one trouble is one sentence.
fn certificate(error: &rustls::Error) -> String {
    use rustls::CertificateError as Why;
    match error {
        rustls::Error::InvalidCertificate(Why::Expired | Why::ExpiredContext { .. }) => {
            "it has expired".to_owned()
        }
        rustls::Error::InvalidCertificate(Why::NotValidYet | Why::NotValidYetContext { .. }) => {
            "it is not valid yet".to_owned()
        }
        rustls::Error::InvalidCertificate(
            Why::NotValidForName | Why::NotValidForNameContext { .. },
        ) => "it is another server's".to_owned(),
        other => other.to_string(),
    }
}

impl From<kube::Error> for Trouble {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => status.code.into(),
            kube::Error::Auth(error) => Self::credentials(&error),
            kube::Error::Service(error) => Self::of_service(&*error),
            kube::Error::HyperError(error) => Self::of_service(&error),
            kube::Error::ReadEvents(error) => Self::of_service(&error),
            kube::Error::RustlsTls(_) => {
                Self::Configuration("a certificate or key to reach it by is not understood".into())
            }
            _ => Self::Garbled,
        }
    }
}

impl From<u16> for Trouble {
    fn from(status: u16) -> Self {
        match status {
            401 => Self::Unauthorized,
            403 => Self::Forbidden,
            410 => Self::Expired,
            _ => Self::Status(status),
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired => f.write_str("it no longer knows what came since"),
            Self::Forbidden => f.write_str("it forbids this"),
            Self::Unauthorized => f.write_str("it does not take the token or certificate (401)"),
            Self::Status(status) => write!(f, "it answers {status}"),
            Self::Unreachable(why) => write!(f, "it cannot be reached: {why}"),
            Self::Certificate(why) => write!(f, "its certificate is not accepted: {why}"),
            Self::Late => f.write_str("it does not answer in time"),
            Self::Long => f.write_str("an answer of it is longer than any should be"),
            Self::Garbled => f.write_str("what answers there is not understood"),
            Self::Configuration(why) => f.write_str(why),
        }
    }
}
