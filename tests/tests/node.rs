//! What the agent says of the machine, beside node-exporter and under what is built on it.

#[cfg(test)]
#[path = "node/dashboards.rs"]
mod dashboards;
#[cfg(test)]
#[path = "node/exceptions.rs"]
mod exceptions;
#[cfg(test)]
#[path = "node/rules.rs"]
mod rules;
#[cfg(test)]
#[path = "node/side_by_side.rs"]
mod side_by_side;
