//! Which route a path is, and where the route's requests name their shop.
//!
//! Only the path decides: a wrong method on a known path is still that route. As on the platform
//! (Fiber's defaults), case and one trailing slash do not matter.
#![forbid(unsafe_code)]

use std::borrow::Cow;

use smallvec::SmallVec;

use super::rules::{self, Holds, Source};

pub mod fold;

/// Bytes of the longest template.
pub const TEMPLATE_LIMIT: usize = 200;
/// The header, among those that are kept, that names a shop.
pub const SHOP_HEADER: &str = "X-Shop-Subdomain";

/// A route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Its template as in the rules: the label.
    pub template: String,
    /// Whether its requests are GraphQL.
    pub graphql: bool,
    /// Where its requests name their shop, in order of precedence; none without a tenant.
    pub places: SmallVec<[Place; 1]>,
}

/// A place in a request, and what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A segment of the path, counted from 1.
    Segment(usize, Holds),
    /// A parameter of the query string.
    Query(String, Holds),
    /// A top-level field of the JSON body.
    Body(String, Holds),
    /// The header [`SHOP_HEADER`].
    Header(Holds),
    /// The first label of the host.
    HostLabel(Holds),
}

/// Every route of every service.
#[derive(Debug, Default)]
pub struct Routes {
    router: matchit::Router<usize>,
    /// Only those whose requests' bodies are read: few, so that the others cost next to nothing.
    readers: matchit::Router<usize>,
    all: Vec<Route>,
}

impl Routes {
    /// From rules without problems; a route that two services share is one.
    #[must_use]
    pub fn new(rules: &rules::Http) -> Self {
        let mut routes = Self::default();
        for service in rules.services.values() {
            for template in &service.routes {
                let template = &template.value;
                let place = service
                    .shops
                    .iter()
                    .find(|tenant| tenant.route.value == *template);
                let places = match place {
                    Some(tenant) => tenant
                        .places
                        .iter()
                        .filter_map(|place| Place::new(&place.value, template))
                        .collect(),
                    None => parameters(template)
                        .filter_map(|(at, name)| {
                            let holds = rules.path_parameters.get(name)?;
                            Some(Place::Segment(at, holds.value))
                        })
                        .take(1)
                        .collect(),
                };
                routes.insert(Route {
                    template: template.clone(),
                    graphql: service.graphql.iter().any(|path| path.value == *template),
                    places,
                });
            }
        }
        routes
    }

    fn insert(&mut self, route: Route) {
        let normal = normal_template(&route.template);
        let number = self.all.len();
        if self.router.insert(normal.as_str(), number).is_err() {
            return;
        }
        let reads = |place: &Place| matches!(place, Place::Body(..));
        if route.graphql || route.places.iter().any(reads) {
            // It fits: it is a part of the other.
            let _ = self.readers.insert(normal, number);
        }
        self.all.push(route);
    }

    /// Every route; their order is their number.
    pub fn iter(&self) -> impl Iterator<Item = &Route> {
        self.all.iter()
    }

    /// The route of a number.
    #[must_use]
    pub fn get(&self, number: usize) -> Option<&Route> {
        self.all.get(number)
    }

    /// The number of the route that a path is.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<usize> {
        Some(*self.router.at(&normal_path(path)).ok()?.value)
    }

    /// Whether rules read the body of a request, and of its response.
    #[must_use]
    pub fn bodies(&self, method: &str, path: &str) -> (bool, bool) {
        if matches!(method, "GET" | "HEAD" | "OPTIONS") {
            return (false, false);
        }
        let path = normal_path(path);
        let found = self.readers.at(&path).ok();
        found
            .and_then(|found| self.get(*found.value))
            .map_or((false, false), |route| (true, route.graphql))
    }
}

impl Place {
    fn new(place: &rules::Place, template: &str) -> Option<Self> {
        let name = || Some(place.name.as_ref()?.value.clone());
        Some(match place.from {
            Source::Path => {
                let name = name()?;
                let (at, _) = parameters(template).find(|(_, known)| *known == name)?;
                Self::Segment(at, place.holds)
            }
            Source::Query => Self::Query(name()?, place.holds),
            Source::Body => Self::Body(name()?, place.holds),
            Source::Header => Self::Header(place.holds),
            Source::HostLabel => Self::HostLabel(place.holds),
        })
    }
}

/// The segments of a template that are parameters.
fn parameters(template: &str) -> impl Iterator<Item = (usize, &str)> {
    template
        .split('/')
        .enumerate()
        .filter_map(|(at, segment)| Some((at, segment.strip_prefix('{')?.strip_suffix('}')?)))
}

/// The path of a request target: an absolute one (RFC 9112, section 3.2.2) without scheme and
/// authority.
#[must_use]
pub fn path(target: &str) -> &str {
    if target.starts_with('/') {
        return target;
    }
    target
        .split_once("://")
        .and_then(|(_, rest)| rest.get(rest.find('/')?..))
        .unwrap_or(target)
}

/// A template as the router holds it: lower case but for parameters, no trailing slash.
#[must_use]
pub fn normal_template(template: &str) -> String {
    let mut depth = 0_u32;
    let lower = template.chars().map(|letter| {
        match letter {
            '{' => depth = depth.saturating_add(1),
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > 0 {
            letter
        } else {
            letter.to_ascii_lowercase()
        }
    });
    let normal: String = lower.collect();
    trimmed(&normal).to_owned()
}

fn normal_path(target: &str) -> Cow<'_, str> {
    let path = trimmed(path(target));
    if path.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(path.to_ascii_lowercase())
    } else {
        Cow::Borrowed(path)
    }
}

fn trimmed(path: &str) -> &str {
    match path.strip_suffix('/') {
        Some("") | None => path,
        Some(trimmed) => trimmed,
    }
}

#[cfg(test)]
mod tests;
