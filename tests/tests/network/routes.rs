//! The ways between two ends: namespaces, translated addresses, segments of every size.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::fd::AsRawFd as _;

use anyhow::{Result, ensure};
use nix::libc;
use observer_tests::agent::{Agent, Options};
use observer_tests::network::{Namespace, Plug, SERVER, SERVER6, cable};
use observer_tests::nginx::Nginx;
use socket2::{Domain, Socket, Type};

use crate::scene::{Scene, counted};

/// Where the client believes its server to be.
const VIRTUAL: &str = "10.99.9.9:80";

#[test]
fn ends_in_different_namespaces_are_one_connection() -> Result<()> {
    for host in [SERVER, SERVER6] {
        let scene = Scene::new()?;
        let server = scene.serve(|place| Nginx::listening(place, host, ""))?;
        let agent = scene.observe()?;
        for _ in 0..10 {
            scene.curl(server.address(), &["/v1/shops/7/orders", "/empty"])?;
        }
        let scrape = agent.settled()?;
        ensure!(server.finish()?.len() == 20);
        counted(&scrape, 20)?;
        for (metric, service) in [
            ("naytife_tcp_connections_opened_total", "client"),
            ("naytife_tcp_connections_accepted_total", "web"),
        ] {
            scrape.select(metric).with("service", service).is(10)?;
        }
    }
    Ok(())
}

/// A client, a router and a server in a row.
fn routed() -> Result<(Scene, Namespace)> {
    let [client, router, server] = [Namespace::new()?, Namespace::new()?, Namespace::new()?];
    let plug = |network, device, addresses| Plug {
        network,
        device,
        addresses,
    };
    cable([
        plug(&client, "eth0", &["10.99.1.1/24"]),
        plug(&router, "client", &["10.99.1.254/24"]),
    ])?;
    cable([
        plug(&server, "eth0", &["10.99.2.2/24"]),
        plug(&router, "server", &["10.99.2.254/24"]),
    ])?;
    client.ip("route add default via 10.99.1.254")?;
    server.ip("route add default via 10.99.2.254")?;
    router.set("ipv4/ip_forward", "1")?;
    Ok((Scene::of(client, server)?, router))
}

/// Requests to [`VIRTUAL`], which `translate` leads to the server.
fn translated(translate: impl FnOnce(&Scene, &Namespace, SocketAddr) -> Result<()>) -> Result<()> {
    let (scene, router) = routed()?;
    let host: IpAddr = "10.99.2.2".parse()?;
    let server = scene.serve(|place| Nginx::listening(place, host, ""))?;
    translate(&scene, &router, server.address())?;
    let agent = scene.observe()?;
    for _ in 0..10 {
        scene.curl(VIRTUAL.parse()?, &["/v1/shops/7/orders", "/empty"])?;
    }
    let scrape = agent.settled()?;
    ensure!(server.finish()?.len() == 20);
    counted(&scrape, 20)
}

/// `nft` rules in a namespace that lead [`VIRTUAL`] elsewhere.
fn lead(network: &Namespace, hook: &str, to: SocketAddr) -> Result<()> {
    network.run("nft", "add table ip lead")?;
    let chain = format!("add chain ip lead there {{ type nat hook {hook} priority -100 ; }}");
    network.run("nft", &chain)?;
    let rule = format!("add rule ip lead there ip daddr 10.99.9.9 tcp dport 80 dnat to {to}");
    network.run("nft", &rule)
}

#[test]
fn both_ends_of_a_connection_that_a_router_translates_are_one() -> Result<()> {
    translated(|_, router, server| lead(router, "prerouting", server))
}

#[test]
fn both_ends_of_a_connection_whose_two_addresses_are_translated_are_one() -> Result<()> {
    translated(|_, router, server| {
        lead(router, "prerouting", server)?;
        let chain = "add chain ip lead back { type nat hook postrouting priority 100 ; }";
        router.run("nft", chain)?;
        router.run("nft", "add rule ip lead back masquerade")
    })
}

/// As a node does it for a Kubernetes service: what leaves the socket's cgroup has the address of
/// the server already.
#[test]
fn both_ends_of_a_connection_that_its_client_translates_are_one() -> Result<()> {
    translated(|scene, _, server| lead(&scene.client, "output", server))
}

/// Bodies both ways, and a thousand requests in one write, through segments of up to 64 KiB, of one
/// packet each, and of one packet each that the receiver puts together again.
#[test]
fn large_bodies_and_pipelines_are_counted_whatever_the_segments() -> Result<()> {
    const ORIGINALS: &str = "-K eth0 tso on gso on gro off";
    const PACKETS: &str = "-K eth0 tso off gso off gro off";
    const MERGED: &str = "-K eth0 tso off gso off gro on";
    for offloads in [ORIGINALS, PACKETS, MERGED] {
        let scene = Scene::new()?;
        for network in [&scene.client, &scene.server] {
            network.run("ethtool", offloads)?;
        }
        let server = scene.serve(|place| Nginx::listening(place, SERVER, ""))?;
        fs::write(server.files().join("large"), vec![b'x'; 20 << 20])?;
        // The answers to a pipeline are one turn.
        let agent = Agent::start(&Options {
            cgroups: &[&scene.clients, &scene.servers],
            config: Some("capture:\n  budgets:\n    http1: 262144\n"),
            ..Options::default()
        })?;
        let address = server.address();
        scene.curl(address, &["/files/large", "/files/large"])?;
        let upload = server.files().join("large").display().to_string();
        let url = format!("http://{address}/v1/shops");
        let body = format!("@{upload}");
        let quiet = ["-sS", "-o", "/dev/null", "-H", "Expect:"];
        scene.run(
            "curl",
            &[&quiet[..], &["--data-binary", &body, &url]].concat(),
        )?;
        scene.open(|| pipeline(address, 1000))?;
        let scrape = agent.settled()?;
        let log = server.finish()?;
        ensure!(log.len() == 1003, "{offloads}: {} requests", log.len());
        counted(&scrape, log.len())?;
        scrape
            .select("naytife_http_response_size_bytes_sum")
            .is(log.iter().map(|access| access.sent).sum())?;
    }
    Ok(())
}

/// Sends requests in one write and reads every answer.
fn pipeline(address: SocketAddr, count: usize) -> Result<()> {
    let mut stream = TcpStream::connect(address)?;
    let last = "GET /empty HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n";
    let mut requests = "GET /v1/shops/7/orders HTTP/1.1\r\nHost: shop\r\n\r\n".repeat(count - 1);
    requests += last;
    stream.write_all(requests.as_bytes())?;
    stream.read_to_end(&mut Vec::new())?;
    Ok(())
}

#[test]
fn requests_behind_ipv6_extension_headers_are_counted() -> Result<()> {
    // Next header, 8 bytes in all, a padding option over the rest (RFC 8200 section 4.2).
    const PADDING: [u8; 8] = [0, 0, 1, 4, 0, 0, 0, 0];
    let scene = Scene::new()?;
    let server = scene.serve(|place| Nginx::listening(place, SERVER6, ""))?;
    let agent = scene.observe()?;
    let address = server.address();
    let mut stream: TcpStream = scene.open(|| {
        let socket = Socket::new(Domain::IPV6, Type::STREAM, None)?;
        for option in [libc::IPV6_HOPOPTS, libc::IPV6_DSTOPTS] {
            let (at, size) = (PADDING.as_ptr().cast(), u32::try_from(PADDING.len())?);
            // SAFETY: the option is read from so many bytes, which outlive the call.
            let set = unsafe {
                libc::setsockopt(socket.as_raw_fd(), libc::IPPROTO_IPV6, option, at, size)
            };
            ensure!(set == 0, "{}", std::io::Error::last_os_error());
        }
        socket.connect(&address.into())?;
        Ok(socket.into())
    })?;
    for _ in 0..10 {
        stream.write_all(b"GET /empty HTTP/1.1\r\nHost: shop\r\n\r\n")?;
        ensure!(stream.read(&mut [0; 4096])? > 0, "no answer");
    }
    drop(stream);
    let scrape = agent.settled()?;
    ensure!(server.finish()?.len() == 10);
    counted(&scrape, 10)
}
