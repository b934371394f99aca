//! What the agent says of containers, beside the kernel's own files and under what is built on it.

#[cfg(test)]
#[path = "containers/kernel.rs"]
mod kernel;
#[cfg(test)]
#[path = "containers/rules.rs"]
mod rules;
