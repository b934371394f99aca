//! Files as they are read: bounded, and a sentence for what is wrong with them.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::problem::{Place, Problem, Problems};
use super::suggest;
use crate::export::http::{Access, WebSettings};
use crate::interpret::{Rules, RulesError};

/// Bytes a file may have.
const LIMIT: u64 = 1024 * 1024;

/// The text of a file.
pub(super) fn read(what: &str, path: &Path) -> Result<String, Problems> {
    let unreadable = |error: io::Error| {
        let path = path.display();
        Problems::one(format!("cannot read the {what} {path}: {error}"))
    };
    let file = File::open(path).map_err(unreadable)?;
    let mut text = String::new();
    let read = file.take(LIMIT + 1).read_to_string(&mut text);
    if read.map_err(unreadable)? as u64 > LIMIT {
        let message = format!("it has more than {LIMIT} bytes");
        return Err(unreadable(io::Error::other(message)));
    }
    Ok(text)
}

/// A path that a file names: one that is relative is so to that file's directory.
pub(super) fn beside(file: &Path, named: &Path) -> PathBuf {
    let directory = file.parent().unwrap_or(Path::new(""));
    let path = directory.join(named);
    // Only an empty path has no absolute form.
    std::path::absolute(&path).unwrap_or(path)
}

/// The rules of a file.
///
/// # Errors
/// Everything that is wrong with them, each with its place.
pub fn rules(path: &Path) -> Result<Rules, Problems> {
    let text = read("rules", path)?;
    Rules::parse(&text).map_err(|error| match error {
        RulesError::Syntax(error) => Problems(vec![syntax(path, &error)]),
        RulesError::Invalid(problems) => {
            let problems = problems.into_iter().map(|problem| Problem {
                message: problem.to_string(),
                place: Some(Place::in_file(path, problem.location.unwrap_or((1, 1)))),
            });
            Problems(problems.collect())
        }
    })
}

/// What a web configuration comes to.
pub(super) fn web(path: &Path) -> Result<Access, Problems> {
    let text = read("web configuration", path)?;
    let settings: WebSettings = serde_saphyr::from_str(&text).map_err(|error| {
        let mut problem = syntax(path, &error);
        // Of what is in it, names of keys may be told and nothing else.
        if !matches!(
            error.without_snippet(),
            serde_saphyr::Error::SerdeUnknownField { .. }
        ) {
            problem.message = "this is no web configuration".into();
        }
        Problems(vec![problem])
    })?;
    let directory = path.parent().unwrap_or(Path::new(""));
    Access::new(settings, directory)
        .map_err(|error| Problems::one(format!("{}: {error}", path.display())))
}

/// What is wrong with a text that is no YAML, or none of this shape.
pub(super) fn syntax(path: &Path, error: &serde_saphyr::Error) -> Problem {
    let place = error.location();
    let spot = place.map_or((1, 1), |place| (place.line().max(1), place.column().max(1)));
    Problem {
        place: Some(Place::in_file(path, spot)),
        message: explain(error.without_snippet()),
    }
}

/// What is wrong, without the place, which the caller has.
fn explain(error: &serde_saphyr::Error) -> String {
    match error {
        serde_saphyr::Error::SerdeUnknownField {
            field, expected, ..
        } => suggest::unknown("key", field, expected.iter().copied()),
        serde_saphyr::Error::SerdeUnknownVariant {
            variant, expected, ..
        } => suggest::unknown("value", variant, expected.iter().copied()),
        serde_saphyr::Error::DuplicateMappingKey { key, .. } => {
            let key = key
                .as_ref()
                .map_or_else(|| "this key".to_owned(), |key| format!("the key \"{key}\""));
            format!("{key} is here a second time; leave one of the two out")
        }
        error => {
            let text = error.render_with_options(serde_saphyr::render_options! {
                snippets: serde_saphyr::SnippetMode::Off,
            });
            let text = text.lines().next().unwrap_or_default();
            // The renderer appends the place, which is in front already.
            let end = text.rfind(" at line ").unwrap_or(text.len());
            text.get(..end).unwrap_or(text).to_owned()
        }
    }
}
