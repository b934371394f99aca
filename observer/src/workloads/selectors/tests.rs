use super::*;
use crate::workloads::directory::{Directory, Labels};

const CONTAINER: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    pairs.iter().map(owned).collect()
}

fn pod(namespace: &str, pairs: &[(&str, &str)]) -> Pod {
    Pod {
        uid: "7c5d3a8e-0f6b-4d0a-9d5e-1f2a3b4c5d6e".into(),
        namespace: namespace.into(),
        labels: labels(pairs),
        ..Pod::default()
    }
}

fn selectors(select: &Select) -> Selectors {
    Selectors::new(select).unwrap()
}

/// What the manifests of this repository select.
fn platform() -> Selectors {
    selectors(&Select {
        namespaces: words(&["naytife", "naytife-auth"]),
        labels: words(&[
            "app.kubernetes.io/part-of=naytife-platform",
            "cnpg.io/cluster=naytife-postgres",
        ]),
        ..Select::default()
    })
}

#[test]
fn the_platforms_pods_are_selected_and_their_neighbours_are_not() {
    type Case<'c> = (&'c str, &'c [(&'c str, &'c str)], bool);
    let part_of = ("app.kubernetes.io/part-of", "naytife-platform");
    let deployment = |name| [("app", name), ("app.kubernetes.io/name", name), part_of];
    let registry = [
        ("app", "template-registry"),
        ("app.kubernetes.io/name", "template-registry"),
        ("app.kubernetes.io/component", "template-system"),
        part_of,
    ];
    let postgres = [
        ("cnpg.io/cluster", "naytife-postgres"),
        ("cnpg.io/podRole", "instance"),
        ("cnpg.io/instanceName", "naytife-postgres-1"),
        ("cnpg.io/instanceRole", "primary"),
        ("role", "primary"),
    ];
    let pooler = [
        ("cnpg.io/poolerName", "naytife-postgres-pooler"),
        ("cnpg.io/podRole", "pooler"),
        ("cnpg.io/cluster", "naytife-postgres"),
    ];
    let cases: &[Case<'_>] = &[
        ("naytife", &deployment("backend"), true),
        ("naytife", &deployment("store-deployer"), true),
        ("naytife", &registry, true),
        ("naytife", &deployment("redis"), true),
        ("naytife", &postgres, true),
        ("naytife", &pooler, true),
        ("naytife-auth", &deployment("auth-handler"), true),
        ("naytife-auth", &deployment("oathkeeper"), true),
        ("naytife-auth", &deployment("hydra"), true),
        // The agent's own, in its own namespace, is part of the platform.
        ("naytife-monitoring", &deployment("observer"), false),
        (
            "cnpg-system",
            &[("app.kubernetes.io/name", "cloudnative-pg")],
            false,
        ),
        ("naytife", &[("app", "backend")], false),
        ("naytife", &[("cnpg.io/cluster", "another")], false),
        ("kube-system", &[("k8s-app", "kube-dns")], false),
    ];
    for (namespace, labels, expected) in cases {
        let pod = pod(namespace, labels);
        assert_eq!(
            platform().selects_pod(&pod),
            *expected,
            "{namespace} {labels:?}"
        );
    }
}

#[test]
fn of_two_conditions_of_a_kind_both_have_to_hold_and_of_two_kinds_one() {
    let directory = Directory::default();
    directory.set_pod(pod("naytife", &[("app", "backend")]));
    directory.set_container(Container {
        id: CONTAINER.into(),
        name: "shop-api-1".into(),
        labels: labels(&[
            ("com.docker.compose.project", "shop"),
            ("com.docker.compose.service", "api"),
        ]),
        ..Container::default()
    });
    let own = "/kubepods/pod7c5d3a8e-0f6b-4d0a-9d5e-1f2a3b4c5d6e";
    let container = &format!("/docker/{CONTAINER}");
    let (unit, scope, other) = (
        "/system.slice/nginx.service",
        "/user.slice/a.scope",
        "/shop/api",
    );
    let all = [own, container, unit, scope, other];
    let of = |key: &str, values: &[&str]| {
        let values = words(values);
        let mut select = Select::default();
        match key {
            "namespaces" => select.namespaces = values,
            "labels" => select.labels = values,
            "projects" => select.projects = values,
            "services" => select.services = values,
            "units" => select.units = values,
            _ => select.cgroups = values,
        }
        select
    };
    let both = |mut one: Select, other: Select| {
        one.namespaces.extend(other.namespaces);
        one.labels.extend(other.labels);
        one.projects.extend(other.projects);
        one.services.extend(other.services);
        one.units.extend(other.units);
        one
    };
    let cases: &[(Select, &[&str])] = &[
        (Select::default(), &[]),
        (of("namespaces", &["naytife"]), &[own]),
        (of("namespaces", &["other"]), &[]),
        (of("labels", &["app=x", "app in (backend)"]), &[own]),
        (
            both(of("namespaces", &["naytife"]), of("labels", &["app=x"])),
            &[],
        ),
        (
            both(of("namespaces", &["naytife"]), of("labels", &["app"])),
            &[own],
        ),
        (of("projects", &["shop"]), &[container]),
        (of("services", &["web", "api"]), &[container]),
        (
            both(of("projects", &["shop"]), of("services", &["web"])),
            &[],
        ),
        (
            both(of("projects", &["shop"]), of("services", &["api"])),
            &[container],
        ),
        (
            both(of("services", &["api"]), of("namespaces", &["naytife"])),
            &[own, container],
        ),
        (of("units", &["nginx"]), &[unit]),
        (of("units", &["nginx.service"]), &[unit]),
        (of("units", &["ng*"]), &[unit]),
        (of("units", &["*.scope"]), &[scope]),
        (of("units", &["nginx.serv?ce", "a.[st]*"]), &[unit, scope]),
        (of("units", &["api"]), &[]),
        (of("cgroups", &["/shop/*"]), &[other]),
        (of("cgroups", &["shop/a?i/"]), &[other]),
        (of("cgroups", &["/*"]), &[]),
        (of("cgroups", &["/**/api"]), &[other]),
        (
            of("cgroups", &["/*/*.service", "/[r-t]hop/api"]),
            &[unit, other],
        ),
        (
            both(of("units", &["nginx"]), of("services", &["api"])),
            &[container, unit],
        ),
    ];
    for (select, expected) in cases {
        let selectors = selectors(select);
        let selects = |path: &&str| {
            let workload = directory.workload(path).unwrap();
            selectors.selects(path, &workload)
        };
        let found: Vec<&str> = all.into_iter().filter(selects).collect();
        assert_eq!(found, *expected, "{select:?}");
    }
}

#[test]
fn a_container_that_belongs_to_no_service_goes_by_its_name() {
    let by_name = selectors(&Select {
        services: words(&["redis"]),
        ..Select::default()
    });
    let container = Container {
        name: "redis".into(),
        ..Container::default()
    };
    assert!(by_name.selects_container(&container));
    assert!(by_name.asks());
    assert!(!selectors(&Select::default()).selects_container(&container));
}

#[test]
fn a_process_goes_by_as_much_of_its_name_as_is_kept() {
    let selectors = selectors(&Select {
        executables: words(&["node", "store-deployer-server"]),
        ..Select::default()
    });
    let cases = [
        ("node", true),
        ("nodejs", false),
        ("store-deployer-", true),
        ("store-deployer", false),
        ("", false),
    ];
    for (process, expected) in cases {
        assert_eq!(selectors.selects_process(process), expected, "{process}");
    }
}

#[test]
fn what_cannot_be_meant_is_told_in_a_sentence_with_its_key() {
    type Field = fn(&mut Select) -> &mut Vec<String>;
    let cases: &[(Field, &str, &str)] = &[
        (
            |s| &mut s.namespaces,
            "Naytife_Auth",
            "select.namespaces[0]: \"Naytife_Auth\": a namespace is of lower-case letters, digits and \
             -; did you mean \"naytife-auth\"?",
        ),
        (
            |s| &mut s.namespaces,
            "",
            "select.namespaces[0]: \"\": a name belongs here",
        ),
        (
            |s| &mut s.services,
            " ",
            "select.services[0]: \" \": a name belongs here",
        ),
        (
            |s| &mut s.labels,
            "app inn (a)",
            "select.labels[0]: \"app inn (a)\": \"inn\" is no operator; there are =, ==, !=, in and \
             notin",
        ),
        (
            |s| &mut s.executables,
            "/usr/bin/node",
            "select.executables[0]: \"/usr/bin/node\": an executable goes by its name, without the \
             directory; did you mean \"node\"?",
        ),
        (
            |s| &mut s.units,
            "nginx.servic",
            "select.units[0]: \"nginx.servic\": the name of a unit with processes ends in \
             .service, .scope or .slice",
        ),
        (
            |s| &mut s.units,
            "backup.timer",
            "select.units[0]: \"backup.timer\": the name of a unit with processes ends in \
             .service, .scope or .slice",
        ),
        (
            |s| &mut s.labels,
            "app in (a",
            "select.labels[0]: \"app in (a\": the end where a comma or ) belongs",
        ),
        (
            |s| &mut s.units,
            "shop-[.service",
            "select.units[0]: \"shop-[.service\": invalid range pattern (at its character 6)",
        ),
        (
            |s| &mut s.cgroups,
            "/a/***",
            "select.cgroups[0]: \"/a/***\": wildcards are either regular `*` or recursive `**` (at \
             its character 6)",
        ),
        (
            |s| &mut s.cgroups,
            "/sys/fs/cgroup/unified/shop",
            "select.cgroups[0]: \"/sys/fs/cgroup/unified/shop\": a pattern begins below the mount; \
             did you mean \"/shop\"?",
        ),
        (
            |s| &mut s.cgroups,
            "/",
            "select.cgroups[0]: \"/\": the root is everything, which is what is observed without any \
             selection; did you mean \"/*\"?",
        ),
    ];
    for (field, value, sentence) in cases {
        let mut select = Select::default();
        field(&mut select).push((*value).to_owned());
        let faults = select.faults();
        assert_eq!(faults.len(), 1, "{value}");
        assert_eq!(faults[0].to_string(), *sentence);
        assert_eq!(Selectors::new(&select), Err(faults[0].clone()));
    }
    assert_eq!(Select::default().faults(), []);
}

#[test]
fn a_selector_that_its_own_commas_cut_is_one_fault_and_told_whole() {
    type Case<'c> = (&'c [&'c str], &'c [(usize, &'c str)]);
    let cases: &[Case<'_>] = &[
        (
            &["app", "tier in (a", "b", "c)", "x=y"],
            &[(
                1,
                "the comma in it ends it here; write it in quotes, and in the configuration file: \
                 \"tier in (a, b, c)\"",
            )],
        ),
        (
            &["tier in (a", "b"],
            &[(0, "the end where a comma or ) belongs")],
        ),
        (
            &["tier in (a", "=)"],
            &[
                (0, "the end where a comma or ) belongs"),
                (1, "\"=\" where the name of a label belongs"),
            ],
        ),
    ];
    for (pieces, expected) in cases {
        let select = Select {
            labels: words(pieces),
            ..Select::default()
        };
        let faults = select.faults();
        let told: Vec<_> = faults
            .iter()
            .map(|fault| (fault.index, fault.why.to_string()))
            .collect();
        let expected: Vec<_> = expected
            .iter()
            .map(|(index, why)| (*index, (*why).to_owned()))
            .collect();
        assert_eq!(told, expected, "{pieces:?}");
    }
}

#[test]
fn a_pod_that_nobody_told_of_is_selected_by_nothing_that_it_says() {
    let directory = Directory::default();
    let path = "/kubepods/pod7c5d3a8e-0f6b-4d0a-9d5e-1f2a3b4c5d6e";
    let selects = || platform().selects(path, &directory.workload(path).unwrap());
    assert!(!selects());
    let part_of = ("app.kubernetes.io/part-of", "naytife-platform");
    directory.set_pod(pod("naytife", &[part_of]));
    assert!(selects());
    directory.remove_pod("7c5d3a8e-0f6b-4d0a-9d5e-1f2a3b4c5d6e");
    assert!(!selects());
}
