use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::*;

/// A directory that goes with the test.
struct Scene(PathBuf);

impl Scene {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tree-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn make(&self, path: &str) {
        fs::create_dir_all(self.0.join(path)).unwrap();
    }

    fn remove(&self, path: &str) {
        fs::remove_dir_all(self.0.join(path)).unwrap();
    }

    fn watcher(&self) -> Watcher {
        Watcher::new(self.0.clone(), Paths::default(), 1000)
    }

    /// What is there, with the ids.
    fn all(&self) -> BTreeSet<(String, u64)> {
        let mut found = BTreeSet::new();
        let mut next = vec![String::new()];
        while let Some(path) = next.pop() {
            let directory = self.0.join(path.trim_start_matches('/'));
            for entry in fs::read_dir(&directory).unwrap() {
                let name = entry.unwrap().file_name();
                next.push(format!("{path}/{}", name.to_string_lossy()));
            }
            let name = if path.is_empty() { "/".into() } else { path };
            found.insert((name, id(&directory).unwrap()));
        }
        found
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn known(watcher: &Watcher) -> BTreeSet<(String, u64)> {
    let cgroups = watcher.cgroups().into_iter();
    cgroups.map(|(path, id)| (path.to_string(), id)).collect()
}

#[test]
fn what_comes_and_goes_is_known_with_all_below_it() {
    let scene = Scene::new("plain");
    scene.make("a/b");
    let mut watcher = scene.watcher();
    assert!(watcher.has_changed());
    assert_eq!(known(&watcher), scene.all());
    scene.make("a/b/c/d");
    scene.make("a-b");
    fs::write(scene.0.join("a/file"), "").unwrap();
    assert_eq!(watcher.hear().unwrap(), Heard::All);
    fs::remove_file(scene.0.join("a/file")).unwrap();
    assert_eq!(known(&watcher), scene.all());
    assert!(watcher.has_changed());
    scene.remove("a/b");
    watcher.hear().unwrap();
    assert_eq!(known(&watcher), scene.all());
    assert!(watcher.has_changed());
    watcher.hear().unwrap();
    assert!(!watcher.has_changed());
    assert_eq!(watcher.watched.len(), watcher.known.len());
}

#[test]
fn what_is_made_again_under_its_path_is_another_one() {
    let scene = Scene::new("again");
    scene.make("a/b");
    // So that the number of a directory is not given to the next.
    let kept = fs::File::open(scene.0.join("a")).unwrap();
    let mut watcher = scene.watcher();
    scene.remove("a");
    scene.make("a/c");
    watcher.hear().unwrap();
    assert_eq!(known(&watcher), scene.all());
    scene.make("a/c/d");
    watcher.hear().unwrap();
    assert_eq!(known(&watcher), scene.all());
    drop(kept);
}

#[test]
fn a_directory_that_was_moved_is_known_under_its_new_path() {
    let scene = Scene::new("moved");
    scene.make("a/b");
    let mut watcher = scene.watcher();
    fs::rename(scene.0.join("a"), scene.0.join("z")).unwrap();
    watcher.hear().unwrap();
    assert_eq!(known(&watcher), scene.all());
    scene.make("z/b/c");
    watcher.hear().unwrap();
    assert_eq!(known(&watcher), scene.all());
}

#[test]
fn while_trees_are_made_and_removed_no_directory_is_missed() {
    let scene = Scene::new("race");
    let mut watcher = scene.watcher();
    let root = scene.0.clone();
    let maker = std::thread::spawn(move || {
        for round in 0..60 {
            for branch in 0..4 {
                let path = root.join(format!("{branch}/x{round}/y/z/end"));
                fs::create_dir_all(path).unwrap();
            }
            if round >= 20 {
                let old = root.join(format!("{}/x{}", round % 4, round - 20));
                fs::remove_dir_all(old).unwrap();
            }
        }
    });
    while !maker.is_finished() {
        watcher.hear().unwrap();
    }
    maker.join().unwrap();
    watcher.hear().unwrap();
    assert_eq!(known(&watcher), scene.all());
    assert!(!watcher.is_blind());
    assert_eq!(watcher.watched.len(), watcher.known.len());
}

#[test]
fn after_a_loss_of_events_everything_is_looked_at() {
    let scene = Scene::new("overflow");
    scene.make("a/b");
    let mut watcher = scene.watcher();
    let limit = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
    let limit: usize = limit.trim().parse().unwrap();
    scene.remove("a/b");
    scene.make("new/below");
    // Two names, or the kernel would join events that are alike.
    for number in 0..limit {
        let directory = scene.0.join(format!("short-{}", number % 2));
        fs::create_dir(&directory).unwrap();
        fs::remove_dir(directory).unwrap();
    }
    scene.make("late/below");
    assert_eq!(watcher.hear().unwrap(), Heard::Overflow);
    assert_eq!(known(&watcher), scene.all());
    scene.make("late/below/again");
    assert_eq!(watcher.hear().unwrap(), Heard::All);
    assert_eq!(known(&watcher), scene.all());
}

#[test]
fn a_tree_that_cannot_be_listened_to_is_looked_at() {
    let scene = Scene::new("blind");
    scene.make("a");
    let mut watcher = scene.watcher();
    watcher.inotify = None;
    assert!(watcher.is_blind());
    scene.make("a/b/c");
    scene.remove("a/b/c");
    scene.make("d");
    assert_eq!(watcher.hear().unwrap(), Heard::All);
    assert_ne!(known(&watcher), scene.all());
    watcher.look();
    assert_eq!(known(&watcher), scene.all());
}

#[test]
fn what_found_no_watch_gets_one_when_there_is_one() {
    let scene = Scene::new("unwatched");
    scene.make("a/b");
    let mut watcher = scene.watcher();
    // As it is where the kernel gives no more watches.
    let path: Arc<str> = "/a".into();
    let watch = watcher.known.get_mut(&path).unwrap().watch.take();
    watcher.unwatch(watch);
    watcher.unwatched = 1;
    assert!(watcher.is_blind());
    scene.make("a/c");
    watcher.look();
    assert!(!watcher.is_blind());
    assert_eq!(known(&watcher), scene.all());
    scene.make("a/d");
    watcher.hear().unwrap();
    assert_eq!(known(&watcher), scene.all());
}

#[test]
fn past_the_bound_nothing_is_known_and_that_is_counted() {
    let scene = Scene::new("bound");
    for name in ["a", "b", "c", "d"] {
        scene.make(name);
    }
    let mut watcher = Watcher::new(scene.0.clone(), Paths::default(), 3);
    assert_eq!((watcher.known.len(), watcher.over()), (3, 2));
    for name in ["a", "b", "c"] {
        scene.remove(name);
    }
    watcher.hear().unwrap();
    assert_eq!(known(&watcher), scene.all());
    assert_eq!(watcher.over(), 0);
}

#[test]
fn what_found_no_room_and_is_gone_is_not_counted_any_more() {
    let scene = Scene::new("recovers");
    for name in ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"] {
        scene.make(name);
    }
    let mut watcher = Watcher::new(scene.0.clone(), Paths::default(), 4);
    assert_eq!((watcher.over(), watcher.has_more), (4, true));
    let over = |watcher: &Watcher| watcher.over.iter().cloned().collect::<Vec<_>>();
    // Those that are counted go; of the others it is found out how many there are.
    for path in over(&watcher).iter().take(3) {
        scene.remove(path.trim_start_matches('/'));
    }
    watcher.hear().unwrap();
    assert_eq!((watcher.over(), watcher.has_more), (4, true));
    scene.remove(over(&watcher)[0].trim_start_matches('/'));
    watcher.hear().unwrap();
    scene.make("late");
    scene.remove("late");
    watcher.hear().unwrap();
    for _ in 0..4 {
        scene.remove(over(&watcher)[0].trim_start_matches('/'));
        watcher.hear().unwrap();
    }
    assert_eq!((watcher.over(), watcher.has_more), (0, false));
    assert_eq!(known(&watcher), scene.all());
    // One that came past the bound, was told of twice and went.
    scene.make("late/below");
    watcher.hear().unwrap();
    watcher.reconcile("/late".into());
    assert_eq!(watcher.over(), 1);
    scene.remove("late");
    watcher.hear().unwrap();
    assert_eq!((watcher.over(), watcher.has_more), (0, false));
}

#[test]
fn of_a_queue_that_is_filled_so_much_is_read_at_once_and_the_rest_later() {
    let scene = Scene::new("batches");
    let mut watcher = scene.watcher();
    watcher.batches = 1;
    for number in 0..500 {
        scene.make(&number.to_string());
    }
    watcher.hear().unwrap();
    let first = watcher.known.len();
    assert!(first > 1 && first < 501, "{first}");
    let mut rounds = 1;
    while watcher.known.len() < 501 && rounds < 500 {
        watcher.hear().unwrap();
        rounds += 1;
    }
    assert_eq!(known(&watcher), scene.all());
}

#[test]
fn who_names_cgroups_hears_of_each() {
    let scene = Scene::new("paths");
    let paths = Paths::default();
    let mut watcher = Watcher::new(scene.0.clone(), paths.clone(), 1000);
    scene.make("a/b");
    watcher.hear().unwrap();
    let id = id(&scene.0.join("a/b")).unwrap();
    assert_eq!(paths.get(id).as_deref(), Some("/a/b"));
    scene.remove("a");
    watcher.hear().unwrap();
    assert_eq!(paths.get(id).as_deref(), Some("/a/b"));
}

#[test]
fn a_running_tree_tells_of_each_change_and_ends() {
    let scene = Scene::new("running");
    let (sender, changed) = std::sync::mpsc::channel();
    let told = move || sender.send(()).unwrap();
    let tree = super::super::Tree::start(scene.0.clone(), Paths::default(), told).unwrap();
    assert_eq!(tree.cgroups().len(), 1);
    scene.make("a/b");
    let patience = Instant::now() + Duration::from_secs(20);
    while tree.cgroups().len() < 3 && Instant::now() < patience {
        let _told = changed.recv_timeout(Duration::from_secs(1));
    }
    assert_eq!(tree.cgroups().len(), 3);
    assert_eq!(tree.trouble(), super::super::Trouble::default());
}
