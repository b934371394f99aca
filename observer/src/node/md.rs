//! Software RAID.
//!
//! ```text
//! md0 : active raid1 sdb1[2](F) sda1[0] sdc1[3](S)
//!       248896 blocks [2/1] [U_]
//!       [===>.................]  recovery = 16.9% (42048/248896) finish=0.1min speed=21024K/sec
//! ```

use super::host::{Failure, number, understood};
use super::{Families, Machine, Type};

const STATES: [&str; 5] = ["active", "inactive", "recovering", "resync", "check"];

/// An array.
#[derive(Debug, Default, PartialEq)]
struct Array<'a> {
    name: &'a str,
    state: &'a str,
    active: f64,
    required: f64,
    failed: f64,
    spare: f64,
    blocks: f64,
    synced: f64,
}

pub(super) fn collect(machine: &Machine, families: &mut Families) -> Result<(), Failure> {
    let path = machine.host.proc("mdstat");
    let text = machine.host.table(&path)?;
    let (arrays, all) = arrays(&text);
    for array in arrays {
        put(&array, families);
    }
    understood(all, path)
}

fn put(array: &Array<'_>, families: &mut Families) {
    let device = ("device", array.name);
    let mut samples = families.family(
        "node_md_state",
        Type::Gauge,
        "Indicates the state of md-device.",
    );
    for state in STATES {
        let is = f64::from(u8::from(state == array.state));
        samples.put(&[device, ("state", state)], is);
    }
    let mut samples = families.family(
        "node_md_disks",
        Type::Gauge,
        "Number of active/failed/spare disks of device.",
    );
    for (state, disks) in [
        ("active", array.active),
        ("failed", array.failed),
        ("spare", array.spare),
    ] {
        samples.put(&[device, ("state", state)], disks);
    }
    for (name, help, value) in [
        (
            "node_md_disks_required",
            "Total number of disks of device.",
            array.required,
        ),
        (
            "node_md_blocks",
            "Total number of blocks on device.",
            array.blocks,
        ),
        (
            "node_md_blocks_synced",
            "Number of blocks synced on device.",
            array.synced,
        ),
    ] {
        families
            .family(name, Type::Gauge, help)
            .put(&[device], value);
    }
}

/// What can be read, and whether that is all.
fn arrays(text: &str) -> (Vec<Array<'_>>, bool) {
    let mut all = true;
    let mut arrays = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if line.trim().is_empty()
            || line.starts_with("Personalities")
            || line.starts_with("unused devices")
        {
            continue;
        }
        let mut below = Vec::new();
        while let Some(line) = lines.next_if(|line| line.starts_with([' ', '\t'])) {
            below.push(line.trim());
        }
        match array(line, &below) {
            Some(array) => arrays.push(array),
            None => all = false,
        }
    }
    (arrays, all)
}

fn array<'a>(line: &'a str, below: &[&'a str]) -> Option<Array<'a>> {
    let (name, rest) = line.split_once(" : ")?;
    let mut words = rest.split_ascii_whitespace();
    let state = words.next()?;
    let disks = words.clone().filter(|word| word.contains('['));
    let marked = |mark: &str| count(disks.clone().filter(|disk| disk.ends_with(mark)));
    let (failed, spare) = (marked("(F)"), marked("(S)"));
    let blocks = below.first().and_then(|line| line.split(' ').next());
    let blocks = blocks.and_then(number)?;
    // [wanted/there]; arrays without redundancy have none, and miss none.
    let figures = below.first().and_then(|line| {
        let mut words = line.split_ascii_whitespace();
        words.find_map(|word| word.strip_prefix('[')?.strip_suffix(']')?.split_once('/'))
    });
    let there = count(disks) - failed - spare;
    let (required, active) = match figures {
        Some((required, active)) => (number(required)?, number(active)?),
        None => (there, there),
    };
    let mut array = Array {
        name,
        state,
        active,
        required,
        failed,
        spare,
        blocks,
        synced: blocks,
    };
    for line in below {
        for (word, state) in [
            ("recovery", "recovering"),
            ("resync", "resync"),
            ("check", "check"),
        ] {
            let Some((_, after)) = line.split_once(word) else {
                continue;
            };
            if !after.trim_start().starts_with('=') {
                continue;
            }
            array.state = state;
            // Waiting for its turn it has no figures.
            let synced = after
                .split_once('(')
                .and_then(|(_, rest)| rest.split_once('/'));
            array.synced = synced.and_then(|(done, _)| number(done)).unwrap_or(0.0);
        }
    }
    Some(array)
}

fn count<'a>(disks: impl Iterator<Item = &'a str>) -> f64 {
    disks.fold(0.0, |count, _| count + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_are_read_as_the_kernel_writes_them() {
        let text = "\
Personalities : [raid1] [raid6] [raid0]
md3 : active raid6 sda1[8] sdh1[7] sdg1[6] sdi1[10](S) sdj1[9](F)
      5853468288 blocks super 1.2 level 6, 64k chunk, algorithm 2 [8/7] [UUUUUUU_]

md0 : active raid1 sdb1[2] sda1[0]
      248896 blocks [2/1] [U_]
      [===>.................]  recovery = 16.9% (42048/248896) finish=0.1min speed=21024K/sec

md5 : active raid1 sdc1[1] sdd1[0]
      100 blocks [2/2] [UU]
      \tresync=DELAYED

md7 : inactive sdb[0](S)
      3886088 blocks super 1.2

md9 : active raid0 sde1[0] sdf1[1]
      523968 blocks super 1.2 512k chunks

garbage
unused devices: <none>
";
        let (arrays, all) = arrays(text);
        assert!(!all, "the garbage is no array");
        let told: Vec<_> = arrays
            .iter()
            .map(|array| {
                let disks = [array.active, array.required, array.failed, array.spare];
                (array.name, array.state, disks, array.blocks, array.synced)
            })
            .collect();
        assert_eq!(
            told,
            [
                (
                    "md3",
                    "active",
                    [7.0, 8.0, 1.0, 1.0],
                    5_853_468_288.0,
                    5_853_468_288.0
                ),
                (
                    "md0",
                    "recovering",
                    [1.0, 2.0, 0.0, 0.0],
                    248_896.0,
                    42_048.0
                ),
                ("md5", "resync", [2.0, 2.0, 0.0, 0.0], 100.0, 0.0),
                (
                    "md7",
                    "inactive",
                    [0.0, 0.0, 0.0, 1.0],
                    3_886_088.0,
                    3_886_088.0
                ),
                ("md9", "active", [2.0, 2.0, 0.0, 0.0], 523_968.0, 523_968.0),
            ]
        );
    }
}
