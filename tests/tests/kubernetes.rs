//! Names from the Kubernetes API: recorded objects, served with every fault that a server may have.

mod kubernetes {
    mod agent;
    mod faults;
    mod names;
    mod rights;
    pub(crate) mod scene;
}
