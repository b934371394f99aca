//! Which route a path is, and where the route's requests name their shop.
//!
//! Only the path decides: a wrong method on a known path is still that route. As on the platform
//! (Fiber's defaults), case and one trailing slash do not matter.
#![forbid(unsafe_code)]

use std::borrow::Cow;

use smallvec::SmallVec;

use super::business::program::{Program, Source as Field};
use super::rules::{self, Holds, Source};
use crate::correlate::http::Parts;

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
    /// The rules of the business that speak of its requests.
    pub readers: Vec<Reader>,
}

/// A rule of the business, and what it reads of a route's requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reader {
    /// Its number among the rules that speak of requests.
    pub rule: usize,
    /// The methods it speaks of; any, if there is none.
    methods: Vec<String>,
    parts: Parts,
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
    /// Only those of whose requests more is read than what is always kept: few, so that the others
    /// cost next to nothing.
    readers: matchit::Router<usize>,
    /// Of requests that have no body too.
    bodiless: bool,
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
                    readers: Vec::new(),
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

    /// Adds the rules of the business, which speak of these routes' requests.
    pub(super) fn attend(&mut self, program: &Program) {
        for (rule, request) in program.requests().enumerate() {
            let mut parts = Parts::default();
            for (_, field) in &request.fields {
                match field {
                    Field::Header(name) => parts.headers.push(name.as_str().into()),
                    Field::Body(_) => parts.request = true,
                    Field::Answer(_) => parts.response = true,
                    _ => {}
                }
            }
            let reads = parts != Parts::default();
            let safe = |method: &String| is_safe(method);
            self.bodiless |=
                reads && (request.methods.is_empty() || request.methods.iter().any(safe));
            for template in &request.routes {
                let mut routes = self.all.iter_mut().enumerate();
                let Some((number, route)) = routes.find(|(_, route)| route.template == *template)
                else {
                    continue;
                };
                route.readers.push(Reader {
                    rule,
                    methods: request.methods.clone(),
                    parts: parts.clone(),
                });
                if reads {
                    // It may be there already.
                    let _ = self.readers.insert(normal_template(template), number);
                }
            }
        }
    }

    /// What rules read of a request beside what is always kept.
    #[must_use]
    pub fn parts(&self, method: &str, path: &str) -> Parts {
        let safe = is_safe(method);
        if safe && !self.bodiless {
            return Parts::default();
        }
        let path = normal_path(path);
        let found = self.readers.at(&path).ok();
        let Some(route) = found.and_then(|found| self.get(*found.value)) else {
            return Parts::default();
        };
        let names_shop = |place: &Place| matches!(place, Place::Body(..));
        let mut parts = Parts {
            request: !safe && (route.graphql || route.places.iter().any(names_shop)),
            response: !safe && route.graphql,
            ..Parts::default()
        };
        for reader in &route.readers {
            if reader.methods.is_empty() || reader.methods.iter().any(|known| known == method) {
                parts.request |= reader.parts.request;
                parts.response |= reader.parts.response;
                for name in &reader.parts.headers {
                    if !parts.headers.contains(name) {
                        parts.headers.push(name.clone());
                    }
                }
            }
        }
        parts
    }
}

/// Whether requests with this method have no body that anybody reads.
fn is_safe(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "OPTIONS")
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

/// A path's segment that is the parameter `name` of a template.
#[must_use]
pub fn segment<'p>(template: &str, target: &'p str, name: &str) -> Option<&'p str> {
    let segment = path(target).split('/').nth(place(template, name)?)?;
    Some(segment).filter(|segment| !segment.is_empty())
}

/// Which segment of a template is the parameter `name`.
#[must_use]
pub fn place(template: &str, name: &str) -> Option<usize> {
    let (at, _) = parameters(template).find(|(_, known)| *known == name)?;
    Some(at)
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
