use super::*;

const UID: &str = "7c5d3a8e-0f6b-4d0a-9d5e-1f2a3b4c5d6e";
const ID: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

fn labels(pairs: &[(&str, &str)]) -> Labels {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    pairs.iter().map(owned).collect()
}

fn pod(pairs: &[(&str, &str)]) -> Pod {
    Pod {
        uid: UID.into(),
        namespace: "naytife".into(),
        name: "backend-5d4f-x2v".into(),
        owner: Some(("Deployment".into(), "backend".into())),
        labels: labels(pairs),
        addresses: vec![[10, 0, 0, 1].into()],
        containers: [(ID.to_owned(), "api".to_owned())].into(),
        ..Pod::default()
    }
}

#[test]
fn a_pod_goes_by_its_label_then_its_owner_then_its_name() {
    let app = ("app", "b");
    let named = ("app.kubernetes.io/name", "a");
    for (pod, service) in [
        (pod(&[app, named]), "a"),
        (pod(&[app]), "b"),
        (
            pod(&[("cnpg.io/cluster", "db"), ("cnpg.io/poolerName", "pooler")]),
            "pooler",
        ),
        (pod(&[("app", "")]), "backend"),
        (
            Pod {
                owner: None,
                ..pod(&[])
            },
            "backend-5d4f-x2v",
        ),
    ] {
        assert_eq!(pod.service(), service);
    }
}

#[test]
fn a_cgroup_is_its_pods_while_that_is_known() {
    let directory = Directory::default();
    let path = format!("/kubepods/pod{}/{ID}", UID.replace('-', "_"));
    let service = || directory.workload(&path).unwrap().service;
    assert_eq!(&*service(), ID);
    directory.set_pod(pod(&[]));
    let workload = directory.workload(&path).unwrap();
    assert_eq!(&*workload.service, "backend");
    assert!(matches!(workload.kind, Kind::Pod(_, Some(name)) if name == "api"));
    directory.remove_pod(UID);
    assert_eq!(&*service(), ID);
}

#[test]
fn a_pod_that_only_its_logs_tell_of_is_named_until_somebody_tells_more() {
    let root = std::env::temp_dir().join(format!("observer-directory-{}", std::process::id()));
    std::fs::create_dir_all(root.join(format!("naytife_api-6c9f7d8b5c-x2vkq_{UID}"))).unwrap();
    let directory = Directory::default();
    let path = format!("/kubepods/pod{}/{ID}", UID.replace('-', "_"));
    let service = || directory.workload(&path).unwrap().service;
    assert_eq!(&*service(), ID);
    directory.look_among(PodLogs::new(root.clone()));
    assert_eq!(&*service(), "api");
    assert!(!directory.misses_pods());
    // Looked for again by whoever selects, until it is known.
    assert_eq!(directory.pod("no-such-pod"), None);
    assert_eq!(
        (directory.misses_pods(), directory.misses_pods()),
        (true, false)
    );
    directory.set_pod(pod(&[("app", "backend")]));
    assert_eq!(&*service(), "backend");
    std::fs::remove_dir_all(root).unwrap();
}

#[test]
fn an_address_is_whose_it_was_told_last_and_goes_with_its_owner() {
    let directory = Directory::default();
    let address = IpAddr::from([10, 0, 0, 1]);
    let other = Pod {
        uid: "other".into(),
        ..pod(&[])
    };
    directory.set_pod(pod(&[]));
    directory.set_pod(other.clone());
    directory.remove_pod(UID);
    let is_other = matches!(directory.at(address), Some(Peer::Pod(pod)) if pod.uid == "other");
    assert!(is_other, "{:?}", directory.at(address));
    directory.remove_pod("other");
    assert_eq!(directory.at(address), None);
    let named = Addressee {
        name: "db".into(),
        addresses: vec![address],
    };
    directory.set_addressee("service/a/db", named);
    assert_eq!(directory.at(address), Some(Peer::Named("db".into())));
    directory.remove_addressee("service/a/db");
    assert_eq!(directory.at(address), None);
}

#[test]
fn an_address_that_several_have_stays_with_those_who_are_left() {
    let directory = Directory::default();
    let address = IpAddr::from([10, 0, 0, 1]);
    let named = |name: &str| Addressee {
        name: name.into(),
        addresses: vec![address],
    };
    directory.set_addressee("service/a/db", named("db"));
    directory.set_pod(pod(&[]));
    directory.set_addressee("node/a", named("worker-1"));
    assert!(matches!(directory.at(address), Some(Peer::Pod(_))));
    for (leave, left) in [
        ("pod", Some("worker-1")),
        ("node/a", Some("db")),
        ("service/a/db", None),
    ] {
        match leave {
            "pod" => directory.remove_pod(UID),
            key => directory.remove_addressee(key),
        }
        let name = match directory.at(address) {
            Some(Peer::Named(name)) => Some(name.to_string()),
            _ => None,
        };
        assert_eq!(name.as_deref(), left, "without {leave}");
    }
    let mapped = "::ffff:10.0.0.2".parse().unwrap();
    directory.set_addressee(
        "service/a/db",
        Addressee {
            name: "db".into(),
            addresses: vec![mapped],
        },
    );
    assert_eq!(
        directory.at([10, 0, 0, 2].into()),
        Some(Peer::Named("db".into()))
    );
}

#[test]
fn who_listens_hears_of_each_change() {
    let directory = Directory::default();
    let (sender, heard) = std::sync::mpsc::channel();
    directory.listen(move || sender.send(()).unwrap());
    directory.set_container(Container {
        id: ID.into(),
        ..Container::default()
    });
    directory.remove_container(ID);
    assert_eq!(heard.try_iter().count(), 2);
}

#[test]
fn a_container_that_nobody_told_about_is_asked_for() {
    let directory = Directory::default();
    let path = format!("/docker/{ID}/system.slice/x.service");
    let service = || directory.workload(&path).unwrap().service;
    assert_eq!(&*service(), ID);
    let told = directory.clone();
    directory.ask(move |id| {
        told.set_container(Container {
            id: id.to_owned(),
            name: "shop_api_1".into(),
            labels: labels(&[("com.docker.compose.service", "api\n")]),
            ..Container::default()
        });
    });
    assert_eq!(&*service(), "api_");
    let workload = directory.workload(&path).unwrap();
    assert!(matches!(workload.kind, Kind::Container(container) if container.id == ID));
}
