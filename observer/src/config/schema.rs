//! JSON schemas, from the types: what an editor completes and underlines.

use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value};

use super::{Config, SETTINGS, validate};
use crate::capture::settings::Bound;
use crate::export::catalog::CATALOG;
use crate::interpret::Rules;

/// Of the configuration; it knows the bounds of numbers too.
#[must_use]
pub fn configuration() -> String {
    let mut schema = of::<Config>("observer's configuration");
    for setting in SETTINGS {
        put(&mut schema, setting.key, "description", setting.help.into());
    }
    // Where a bound depends on another key, the widest one that key allows.
    let mut widest = Config::default();
    widest.capture.ring_bytes = 1 << 30;
    let bounds = widest.capture.bounds().into_iter();
    for bound in bounds.chain(validate::bounds(&widest)) {
        number(&mut schema, &bound);
    }
    let names: Vec<&str> = CATALOG.iter().map(|row| row.name).collect();
    let names = serde_json::json!({ "enum": names });
    put(&mut schema, "limits.metrics", "propertyNames", names);
    text(&schema)
}

/// Of the rules.
#[must_use]
pub fn rules() -> String {
    text(&of::<Rules>("observer's rules"))
}

fn of<T: JsonSchema>(title: &str) -> Value {
    let settings =
        SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let mut schema = SchemaGenerator::new(settings)
        .into_root_schema_for::<T>()
        .to_value();
    if let Some(root) = schema.as_object_mut() {
        root.insert("title".into(), title.into());
    }
    schema
}

/// Says more of a key; an empty section is one that says nothing.
fn put(schema: &mut Value, key: &str, word: &str, value: Value) {
    if let Some(place) = find(schema, key) {
        place.insert(word.into(), value);
    }
}

fn number(schema: &mut Value, bound: &Bound) {
    let Some(place) = find(schema, &bound.key) else {
        return;
    };
    place.insert("minimum".into(), bound.least.into());
    place.insert("maximum".into(), bound.most.into());
    if bound.power_of_two {
        let powers = (0..u64::BITS).map(|exponent| 1_u64 << exponent);
        let powers = powers.filter(|power| (bound.least..=bound.most).contains(power));
        place.insert("enum".into(), powers.collect());
    }
}

fn find<'a>(schema: &'a mut Value, key: &str) -> Option<&'a mut Map<String, Value>> {
    let mut place = schema;
    for name in key.split('.') {
        place = place.get_mut("properties")?.get_mut(name)?;
    }
    place.as_object_mut()
}

fn text(schema: &Value) -> String {
    format!("{schema:#}\n")
}

#[cfg(test)]
mod tests {
    use jsonschema::Validator;

    use super::*;
    use crate::config::print::print;

    fn validator(schema: &str) -> Validator {
        jsonschema::validator_for(&serde_json::from_str(schema).unwrap()).unwrap()
    }

    fn is_valid(validator: &Validator, yaml: &str) -> bool {
        validator.is_valid(&serde_saphyr::from_str::<Value>(yaml).unwrap())
    }

    #[test]
    fn what_the_agent_takes_is_valid() {
        let validator = validator(&configuration());
        let default = print(&Config::default(), None);
        for yaml in [
            default.as_str(),
            "{}",
            "cgroups: [kubepods.slice]\nrules: rules.yaml\n",
            "capture: {rings: 8, ring_bytes: 4096, poll_max: 1h 5ms}\n",
            "limits: {metrics: {naytife_redis_lookups_total: 100}}\nlog: {format: json}\n",
        ] {
            assert!(is_valid(&validator, yaml), "{yaml}");
        }
    }

    #[test]
    fn what_the_agent_refuses_is_not_valid() {
        let validator = validator(&configuration());
        for yaml in [
            "lisen: 127.0.0.1:1\n",
            "listen: 5\n",
            "cgroups: kubepods.slice\n",
            "capture: {rings: 9}\n",
            "capture: {rings: 3}\n",
            "capture: {ring_bytes: 3000000}\n",
            "capture: {budgets: {http1: 1}}\n",
            "capture: {poll_max: soon}\n",
            "interpret: {shops: 0}\n",
            "interpret: {trust_path_ids: maybe}\n",
            "limits: {lines: -1}\n",
            "limits: {lines: 3}\n",
            "limits: {metrics: {naytife_redis_lookup_total: 100}}\n",
            "log: {format: xml}\n",
        ] {
            assert!(!is_valid(&validator, yaml), "{yaml}");
        }
    }

    #[test]
    fn every_key_is_described_and_has_its_default() {
        let mut schema = serde_json::from_str(&configuration()).unwrap();
        for setting in SETTINGS {
            let place = find(&mut schema, setting.key).unwrap();
            assert_eq!(place["description"], setting.help, "{}", setting.key);
            assert!(place.contains_key("default"), "{}: {place:?}", setting.key);
        }
    }

    #[test]
    fn rules_are_valid_where_they_have_the_shape_of_rules() {
        let validator = validator(&rules());
        assert!(is_valid(
            &validator,
            include_str!("../interpret/naytife.yaml")
        ));
        assert!(is_valid(&validator, "http: {services: {}}\n"));
        for yaml in [
            "http: {service: {}}\nsql: {}\n",
            "http: {services: {a: {routes: [b]}}}\nsql: {}\n",
            "http: {services: {}, path_parameters: {a: name}}\nsql: {}\n",
            "http: {services: {}}\nsql: {statements: {A: {operation: SELECT, shop: 0}}}\n",
            "http: {services: {}}\nsql: {statements: {A: {operation: SELECT, pgx: 12}}}\n",
            "http: {services: {}}\nsql: {statements: {A: {shop: 1}}}\n",
        ] {
            assert!(!is_valid(&validator, yaml), "{yaml}");
        }
    }
}
