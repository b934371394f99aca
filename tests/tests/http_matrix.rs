//! HTTP, every behaviour: real servers under real clients, and bytes that only we send. What was
//! issued is what is counted, at both ends.

#[cfg(test)]
#[path = "http_matrix/awkward.rs"]
mod awkward;
#[cfg(test)]
#[path = "http_matrix/clients.rs"]
mod clients;
#[cfg(test)]
#[path = "http_matrix/http2.rs"]
mod http2;
#[cfg(test)]
#[path = "http_matrix/large.rs"]
mod large;
#[cfg(test)]
#[path = "http_matrix/raw.rs"]
mod raw;
#[cfg(test)]
#[path = "http_matrix/scene.rs"]
mod scene;
#[cfg(test)]
#[path = "http_matrix/servers.rs"]
mod servers;
#[cfg(test)]
#[path = "http_matrix/switching.rs"]
mod switching;
#[cfg(test)]
#[path = "http_matrix/talk.rs"]
mod talk;
#[cfg(test)]
#[path = "http_matrix/tally.rs"]
mod tally;
