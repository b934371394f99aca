//! The network: *counted = issued* however the bytes travel, between network namespaces.
//!
//! A server's own log is the oracle; both ends are observed unless a test says otherwise.

#[cfg(test)]
#[path = "network/loss.rs"]
mod loss;
#[cfg(test)]
#[path = "network/openings.rs"]
mod openings;
#[cfg(test)]
#[path = "network/routes.rs"]
mod routes;
#[cfg(test)]
#[path = "network/scene.rs"]
mod scene;
#[cfg(test)]
#[path = "network/servers.rs"]
mod servers;
