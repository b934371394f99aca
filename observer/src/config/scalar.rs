//! Values as an environment variable and a line of YAML write them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::log::Format;
use super::tree::{Node, Placed, Spot};
use super::{file, suggest};
use crate::interpret::Authority;

/// Why a value of a file is not taken.
pub(super) struct Misread {
    /// What is wrong.
    pub(super) message: String,
    /// Which item of a list is to blame, counted from 0, and where that stands.
    pub(super) item: Option<(usize, Spot)>,
}

impl<T: Into<String>> From<T> for Misread {
    fn from(message: T) -> Self {
        Self {
            message: message.into(),
            item: None,
        }
    }
}

/// A value of one key.
pub(super) trait Scalar: Sized {
    /// From an environment variable.
    fn read(text: &str) -> Result<Self, String>;
    /// From a file.
    fn of(node: &Node) -> Result<Self, Misread> {
        match node {
            Node::Scalar(scalar) => Ok(Self::read(&scalar.read)?),
            other => Err(format!("{} where a single value belongs", other.kind()).into()),
        }
    }
    /// A relative path in this file is one beside it.
    fn beside(&mut self, _file: &Path) {}
    /// As YAML on one line.
    fn show(&self) -> String;
}

macro_rules! plain {
    ($($type:ty, $what:literal;)*) => {$(
        impl Scalar for $type {
            fn read(text: &str) -> Result<Self, String> {
                text.parse().map_err(|_| format!("\"{text}\" is not {}", $what))
            }

            fn show(&self) -> String {
                self.to_string()
            }
        }
    )*};
}

plain! {
    bool, "true or false";
    u8, "a whole number below 256";
    u32, "a whole number below 2^32";
    usize, "a whole number";
    SocketAddr, "an address and a port such as 127.0.0.1:9464";
}

impl Scalar for String {
    fn read(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }

    fn of(node: &Node) -> Result<Self, Misread> {
        match node {
            Node::Scalar(scalar) => Ok(scalar.written.clone()),
            other => Err(format!("{} where text belongs", other.kind()).into()),
        }
    }

    fn show(&self) -> String {
        quoted(self)
    }
}

impl Scalar for Duration {
    fn read(text: &str) -> Result<Self, String> {
        // The same parser as the file's.
        let quoted = serde::de::value::StrDeserializer::<serde::de::value::Error>::new(text);
        humantime_serde::deserialize(quoted)
            .map_err(|_| format!("\"{text}\" is not a duration such as 5m or 10ms"))
    }

    fn show(&self) -> String {
        humantime_serde::re::humantime::format_duration(*self).to_string()
    }
}

impl Scalar for PathBuf {
    fn read(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("nothing where a path belongs".into());
        }
        Ok(text.into())
    }

    fn of(node: &Node) -> Result<Self, Misread> {
        Ok(Self::read(&String::of(node)?)?)
    }

    fn beside(&mut self, file: &Path) {
        *self = file::beside(file, self);
    }

    fn show(&self) -> String {
        quoted(&self.to_string_lossy())
    }
}

impl Scalar for Option<PathBuf> {
    fn read(text: &str) -> Result<Self, String> {
        Ok((!text.is_empty()).then(|| text.into()))
    }

    fn of(node: &Node) -> Result<Self, Misread> {
        match node {
            Node::Null => Ok(None),
            other => Ok(Self::read(&String::of(other)?)?),
        }
    }

    fn beside(&mut self, file: &Path) {
        if let Some(path) = self {
            path.beside(file);
        }
    }

    fn show(&self) -> String {
        self.as_deref()
            .map_or_else(|| "null".into(), |path| quoted(&path.to_string_lossy()))
    }
}

impl Scalar for Option<String> {
    fn read(text: &str) -> Result<Self, String> {
        Ok((!text.is_empty()).then(|| text.to_owned()))
    }

    fn of(node: &Node) -> Result<Self, Misread> {
        match node {
            Node::Null => Ok(None),
            other => Ok(Self::read(&String::of(other)?)?),
        }
    }

    fn show(&self) -> String {
        self.as_deref().map_or_else(|| "null".into(), quoted)
    }
}

impl Scalar for Vec<PathBuf> {
    fn read(text: &str) -> Result<Self, String> {
        Ok(parts(text).map(PathBuf::from).collect())
    }

    fn of(node: &Node) -> Result<Self, Misread> {
        items(node)
    }

    fn beside(&mut self, file: &Path) {
        for path in self {
            path.beside(file);
        }
    }

    fn show(&self) -> String {
        let paths: Vec<String> = self
            .iter()
            .map(|path| quoted(&path.to_string_lossy()))
            .collect();
        format!("[{}]", paths.join(", "))
    }
}

impl Scalar for Vec<String> {
    fn read(text: &str) -> Result<Self, String> {
        Ok(parts(text).map(str::to_owned).collect())
    }

    fn of(node: &Node) -> Result<Self, Misread> {
        items(node)
    }

    fn show(&self) -> String {
        let words: Vec<String> = self.iter().map(|word| quoted(word)).collect();
        format!("[{}]", words.join(", "))
    }
}

impl Scalar for BTreeMap<String, usize> {
    fn read(text: &str) -> Result<Self, String> {
        parts(text)
            .map(|part| {
                let (name, number) = part
                    .split_once('=')
                    .ok_or_else(|| format!("\"{part}\" is not name=number"))?;
                Ok((name.trim().to_owned(), usize::read(number.trim())?))
            })
            .collect()
    }

    fn of(node: &Node) -> Result<Self, Misread> {
        match node {
            Node::Null => Ok(Self::new()),
            Node::Map(map) => map
                .iter()
                .map(|(name, _, value)| match usize::of(&value.node) {
                    Ok(number) => Ok((name.clone(), number)),
                    Err(why) => Err(format!("{name}: {}", why.message).into()),
                })
                .collect(),
            other => {
                let kind = other.kind();
                Err(format!("{kind} where a map belongs: {{name: number}}").into())
            }
        }
    }

    fn show(&self) -> String {
        let entries: Vec<String> = self
            .iter()
            .map(|(name, number)| format!("{}: {number}", quoted(name)))
            .collect();
        format!("{{{}}}", entries.join(", "))
    }
}

impl Scalar for Format {
    fn read(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(suggest::unknown(
                "value",
                text,
                ["text", "json"].into_iter(),
            )),
        }
    }

    fn show(&self) -> String {
        match self {
            Self::Text => "text".into(),
            Self::Json => "json".into(),
        }
    }
}

impl Scalar for Authority {
    fn read(text: &str) -> Result<Self, String> {
        match text {
            "client" => Ok(Self::Client),
            "server" => Ok(Self::Server),
            _ => Err(suggest::unknown(
                "value",
                text,
                ["client", "server"].into_iter(),
            )),
        }
    }

    fn show(&self) -> String {
        match self {
            Self::Client => "client".into(),
            Self::Server => "server".into(),
        }
    }
}

/// Every item of a list, or which of them is wrong.
fn items<T: From<String>>(node: &Node) -> Result<Vec<T>, Misread> {
    let list = match node {
        Node::Null => return Ok(Vec::new()),
        Node::List(list) => list.iter().enumerate(),
        other => return Err(format!("{} where a list belongs: [one, two]", other.kind()).into()),
    };
    let item = |(index, placed): (usize, &Placed)| match String::of(&placed.node) {
        Ok(text) => Ok(text.into()),
        Err(why) => Err(Misread {
            item: Some((index, placed.spot)),
            ..why
        }),
    };
    list.map(item).collect()
}

/// What stands between commas.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
}

/// Plain where YAML reads it as the same string, else in double quotes, which JSON shares.
fn quoted(text: &str) -> String {
    let plain = text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '/')
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte))
        && !matches!(
            text.to_ascii_lowercase().as_str(),
            "true" | "false" | "null" | "yes" | "no" | "on" | "off" | "y" | "n"
        );
    if plain {
        text.to_owned()
    } else {
        serde_json::Value::from(text).to_string()
    }
}
