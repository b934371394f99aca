//! How the API is reached: as from within a pod, or as a kubeconfig says, by connections of which
//! each is marked as the agent's own before its first segment.

use std::future::Future;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::{Request, Uri};
use hyper_timeout::TimeoutConnector;
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioIo};
use kube::client::{Body, ConfigExt as _};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use nix::sys::socket::{setsockopt, sockopt};
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tower::{BoxError, Service, ServiceBuilder, service_fn};

use super::bounded::bounded;
use super::trouble::Trouble;

/// Until a connection stands, TLS included.
const CONNECT: Duration = Duration::from_secs(10);
/// How long a connection may say nothing: longer than a watch lasts.
const SILENCE: Duration = Duration::from_mins(5);
/// How long it may not take what it is sent.
const WRITE: Duration = Duration::from_secs(30);
/// When a silent peer is asked whether it is there, how often it is again, and how many times: one
/// that is gone without a word is noticed within a minute.
const KEEPALIVE: (u32, u32, u32) = (30, 10, 3);

/// Marks a socket as the agent's own.
pub type Mark = Arc<dyn Fn(BorrowedFd<'_>) -> io::Result<()> + Send + Sync>;

/// A way to the API, found again where it is lost.
#[derive(Clone)]
pub(super) struct Reach(Arc<Inner>);

struct Inner {
    kubeconfig: Option<PathBuf>,
    mark: Mark,
    client: Mutex<Option<Client>>,
}

impl Reach {
    pub(super) fn new(kubeconfig: Option<PathBuf>, mark: Mark) -> Self {
        Self(Arc::new(Inner {
            kubeconfig,
            mark,
            client: Mutex::new(None),
        }))
    }

    /// The client; made of what files say now where there is none.
    pub(super) async fn client(&self) -> Result<Client, Trouble> {
        let lock = || self.0.client.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = &*lock() {
            return Ok(client.clone());
        }
        let config = self.config().await?;
        let client = client(&config, Connector(Arc::clone(&self.0.mark)))?;
        Ok(lock().insert(client).clone())
    }

    /// The next client is made of what files say then.
    pub(super) fn forget(&self) {
        let mut client = self.0.client.lock().unwrap_or_else(PoisonError::into_inner);
        *client = None;
    }

    /// What files, or the pod around us, say of the API; nobody is asked.
    pub(super) async fn config(&self) -> Result<Config, Trouble> {
        let Some(file) = &self.0.kubeconfig else {
            return Config::incluster_env().map_err(|error| Trouble::around(&error));
        };
        let trouble = |error| Trouble::configuration(&error, file);
        let kubeconfig = Kubeconfig::read_from(file).map_err(trouble)?;
        let options = KubeConfigOptions::default();
        let config = Config::from_custom_kubeconfig(kubeconfig, &options);
        let config = config.await.map_err(trouble)?;
        if config.proxy_url.is_some() {
            return Err(Trouble::Configuration(format!(
                "{} names a proxy, by which observer does not go",
                file.display()
            )));
        }
        Ok(config)
    }
}

fn client(config: &Config, connector: Connector) -> Result<Client, Trouble> {
    let connector = config.rustls_https_connector_with_connector(connector)?;
    let mut connector = TimeoutConnector::new(connector);
    connector.set_connect_timeout(Some(CONNECT));
    connector.set_read_timeout(Some(SILENCE));
    connector.set_write_timeout(Some(WRITE));
    let http = legacy::Client::builder(TokioExecutor::new()).build::<_, Body>(connector);
    let http = service_fn(move |request: Request<Body>| {
        let bounded = bounded(&request);
        let answer = http.request(request);
        async move { answer.await.map(bounded) }
    });
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(http);
    Ok(Client::new(service, config.default_namespace.clone()))
}

/// Connects; TLS is above it.
#[derive(Clone)]
struct Connector(Mark);

impl Service<Uri> for Connector {
    type Response = TokioIo<TcpStream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let mark = Arc::clone(&self.0);
        Box::pin(async move { connect(&uri, &mark).await.map(TokioIo::new) })
    }
}

/// To the first of the host's addresses that answers.
async fn connect(uri: &Uri, mark: &Mark) -> io::Result<TcpStream> {
    let host = uri.host().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let default = if uri.scheme_str() == Some("http") {
        80
    } else {
        443
    };
    let port = uri.port_u16().unwrap_or(default);
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in lookup_host((host, port)).await? {
        let socket = if address.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        mark(socket.as_fd())?;
        keep_alive(&socket)?;
        socket.set_nodelay(true)?;
        match socket.connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn keep_alive(socket: &TcpSocket) -> io::Result<()> {
    let (idle, interval, count) = KEEPALIVE;
    socket.set_keepalive(true)?;
    setsockopt(socket, sockopt::TcpKeepIdle, &idle)?;
    setsockopt(socket, sockopt::TcpKeepInterval, &interval)?;
    setsockopt(socket, sockopt::TcpKeepCount, &count)?;
    Ok(())
}
