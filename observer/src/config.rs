//! The whole configuration as one typed, documented value.
