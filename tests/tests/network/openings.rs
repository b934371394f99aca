//! How connections begin, or do not.

use std::io::Read as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::libc;
use observer_tests::agent::{Agent, binary, sibling};
use observer_tests::apps::App;
use observer_tests::cgroup::Cgroup;
use observer_tests::network::SERVER;
use observer_tests::nginx::Nginx;
use observer_tests::process::{Place, Process, finish};
use socket2::{Domain, Protocol, Socket, Type};

use crate::scene::{REQUESTS, Scene, counted, undisturbed};

const REQUEST: &[u8] = b"GET /v1/shops/7/orders HTTP/1.1\r\nHost: shop\r\n\r\n";

#[test]
fn requests_on_the_syn_are_counted_once() -> Result<()> {
    let scene = Scene::new()?;
    for network in [&scene.client, &scene.server] {
        // As a client and as a server.
        network.set("ipv4/tcp_fastopen", "3")?;
    }
    let server = scene.serve(|place| Nginx::listening(place, SERVER, "fastopen=16"))?;
    let agent = scene.observe()?;
    let address = server.address();
    for _ in 0..10 {
        scene.open(|| {
            let mut socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
            let sent = socket.send_to_with_flags(REQUEST, &address.into(), libc::MSG_FASTOPEN)?;
            ensure!(sent == REQUEST.len(), "{sent} bytes sent");
            ensure!(socket.read(&mut [0; 4096])? > 0, "no answer");
            Ok(())
        })?;
    }
    let scrape = agent.settled()?;
    ensure!(server.finish()?.len() == 10);
    counted(&scrape, 10)?;
    // The first connection fetches the cookie that the others show.
    let opened = scene.server.counted("TCPFastOpenPassive")?;
    ensure!(opened == 9, "{opened} came with their request");
    Ok(())
}

/// On a busy machine the kernel sends a piece twice on the one subflow, at a second position of it
/// (docs/decisions/0010): such a connection is not the one this is about, and there is another.
#[test]
fn multipath_tcp_of_one_subflow_is_counted_exactly() -> Result<()> {
    for _ in 0..10 {
        if multipath_is_counted()? {
            return Ok(());
        }
    }
    bail!("ten connections on which pieces were sent twice")
}

/// False where pieces were sent twice.
fn multipath_is_counted() -> Result<bool> {
    let scene = Scene::new()?;
    let server = scene.serve(|place| App::responder(place, SERVER, &["--mptcp"]))?;
    let agent = scene.observe()?;
    let mut stream = scene.open(|| multipath(server.address()))?;
    for _ in 0..10 {
        ask(&mut stream, "/bytes/100000")?;
    }
    drop(stream);
    let scrape = agent.settled()?;
    for network in [&scene.client, &scene.server] {
        if network.counted("MPTCPRetrans")? > 0 {
            return Ok(false);
        }
    }
    ensure!(server.process().printed().lines().count() == 10);
    counted(&scrape, 10)?;
    let spoken = scene.server.counted("MPCapableACKRX")?;
    ensure!(spoken == 1, "{spoken} connections of Multipath TCP");
    Ok(true)
}

fn multipath(address: SocketAddr) -> Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::MPTCP))?;
    socket.connect(&address.into())?;
    Ok(socket)
}

/// A request of a `responder`, and its whole answer.
fn ask(stream: &mut (impl std::io::Read + std::io::Write), target: &str) -> Result<()> {
    write!(stream, "GET {target} HTTP/1.1\r\nHost: shop\r\n\r\n")?;
    let length: usize = target.strip_prefix("/bytes/").unwrap_or("3").parse()?;
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
    stream.read_exact(&mut vec![0; head.len() + length])?;
    Ok(())
}

#[test]
fn children_of_a_listener_from_another_cgroup_are_counted_as_the_listeners() -> Result<()> {
    let (sockets, services) = (Cgroup::create("sockets")?, Cgroup::create("service")?);
    let (listener, address) = sockets.host(|| {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    })?;
    // As a service manager hands sockets on: by being left open.
    fcntl(&listener, FcntlArg::F_SETFD(FdFlag::empty()))?;
    let descriptor = std::os::fd::AsRawFd::as_raw_fd(&listener).to_string();
    let mut command = Command::new(sibling("responder")?);
    command.args(["--inherited", &descriptor]);
    let files = tempfile::tempdir()?;
    let log = files.path().join("log");
    let process = Process::start(command, &log, &Place::within(&services))?;
    drop(listener);
    for cgroup in [&sockets, &services] {
        let mut check = Command::new(binary()?);
        check.args(["check", "--listen", "127.0.0.1:0", "--cgroup"]);
        let said = finish(check.arg(cgroup.path()))?;
        let expected = format!(
            "degraded  listener {address}: its connections count for {}, where it was made, and not \
             for {}, where responder ({}) is; ",
            sockets.path().display(),
            services.path().display(),
            process.pid()
        );
        ensure!(said.contains(&expected), "{said}");
    }
    let elsewhere = Cgroup::create("elsewhere")?;
    let mut check = Command::new(binary()?);
    check.args(["check", "--listen", "127.0.0.1:0", "--cgroup"]);
    let said = finish(check.arg(elsewhere.path()))?;
    ensure!(!said.contains("listener "), "{said}");
    let agents = [&sockets, &services].map(|cgroup| Agent::observe(&[cgroup]));
    for _ in 0..10 {
        ask(&mut TcpStream::connect(address)?, "/")?;
    }
    let [of_listener, of_process] = agents;
    let scrape = of_listener?.settled()?;
    scrape.select(REQUESTS).with("service", "sockets").is(10)?;
    undisturbed(&scrape)?;
    ensure!(process.printed().lines().count() == 10);
    let scrape = of_process?.settled()?;
    scrape.select(REQUESTS).is(0)
}

const REFUSED: &str = "naytife_tcp_connections_refused_total";

#[test]
fn connects_that_nobody_answers_are_counted_as_timed_out() -> Result<()> {
    let scene = Scene::new()?;
    // Frames for a neighbour that is not there.
    for address in ["10.99.0.77", "fd00::77"] {
        scene.client.ip(&format!(
            "neigh add {address} lladdr 02:00:00:00:00:77 dev eth0"
        ))?;
    }
    let agent = scene.observe()?;
    fails(&scene, &["10.99.0.77:80", "[fd00::77]:80"], libc::ETIMEDOUT)?;
    let scrape = agent.settled()?;
    let refused = scrape.select(REFUSED).with("service", "client");
    refused.clone().with("reason", "timed_out").is(2)?;
    refused.is(2)
}

#[test]
fn connects_to_who_cannot_be_reached_are_counted_as_unreachable() -> Result<()> {
    let scene = Scene::new()?;
    // One whose neighbour is not found, and ones whose router knows no way.
    scene.client.set("ipv4/neigh/eth0/retrans_time_ms", "100")?;
    scene.server.set("ipv4/ip_forward", "1")?;
    scene.server.set("ipv6/conf/all/forwarding", "1")?;
    scene.server.ip("route add unreachable 10.99.7.0/24")?;
    scene.server.ip("route add unreachable fd07::/64")?;
    scene.client.ip("route add 10.99.7.0/24 via 10.99.0.2")?;
    scene.client.ip("route add fd07::/64 via fd00::2")?;
    let agent = scene.observe()?;
    fails(
        &scene,
        &["10.99.0.77:80", "10.99.7.7:80"],
        libc::EHOSTUNREACH,
    )?;
    fails(&scene, &["[fd07::7]:80"], libc::ENETUNREACH)?;
    // Without a route there is no attempt that could be counted.
    fails(&scene, &["10.98.0.1:80"], libc::ENETUNREACH)?;
    let scrape = agent.settled()?;
    let refused = scrape.select(REFUSED).with("service", "client");
    refused.clone().with("reason", "unreachable").is(3)?;
    refused.is(3)
}

/// Connects to each of these, which all fail alike.
fn fails(scene: &Scene, addresses: &[&str], error: i32) -> Result<()> {
    for address in addresses {
        let address: SocketAddr = address.parse()?;
        scene.open(|| {
            let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
            socket.set_tcp_user_timeout(Some(Duration::from_millis(500)))?;
            let failed = socket
                .connect(&address.into())
                .err()
                .and_then(|e| e.raw_os_error());
            ensure!(failed == Some(error), "{address}: {failed:?}");
            Ok(())
        })?;
    }
    Ok(())
}
