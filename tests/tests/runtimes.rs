//! Containers where each runtime puts them: run by runc, named by the agent.

mod runtimes {
    mod containers;
    mod places;
    mod versions;
}
