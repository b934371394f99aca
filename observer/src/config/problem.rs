//! What is wrong with a configuration, and where: a line each.

use std::fmt;
use std::path::{Path, PathBuf};

/// Where something stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a file.
    File {
        /// Its path.
        path: PathBuf,
        /// Counted from 1.
        line: u64,
        /// Counted from 1.
        column: u64,
    },
    /// In an environment variable.
    Variable(String),
    /// On the command line.
    Option(&'static str),
}

impl Place {
    /// A place in a file.
    #[must_use]
    pub fn in_file(path: &Path, (line, column): (u64, u64)) -> Self {
        Self::File {
            path: path.to_owned(),
            line,
            column,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line, column } => write!(f, "{}:{line}:{column}", path.display()),
            Self::Variable(name) => f.write_str(name),
            Self::Option(name) => f.write_str(name),
        }
    }
}

/// Something that is wrong: one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where; none where no place is to blame.
    pub place: Option<Place>,
    /// What is wrong, and what may have been meant.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        f.write_str(&self.message)
    }
}

/// Everything that is wrong; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl Problems {
    /// One that no place is to blame for.
    pub(super) fn one(message: String) -> Self {
        Self(vec![Problem {
            place: None,
            message,
        }])
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, problem) in self.0.iter().enumerate() {
            if number > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
