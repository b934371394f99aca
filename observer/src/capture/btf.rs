//! Where the running kernel keeps a field: from its own type information.
//!
//! Rust programs have no relocations for the kernel they run on, so the few offsets they need are
//! read here and passed as settings. The format is `include/uapi/linux/btf.h`.
#![forbid(unsafe_code)]

use std::collections::HashMap;

const MAGIC: u16 = 0xeb9f;
const KIND_STRUCT: u32 = 4;

/// Offsets in bytes of `structure.member`, for those found; nothing where the data is not BTF.
pub(super) fn offsets<'a>(
    btf: &[u8],
    wanted: &[(&'a str, &'a str)],
) -> HashMap<(&'a str, &'a str), u32> {
    let mut found = HashMap::new();
    let _ended = scan(btf, wanted, &mut found);
    found
}

/// Walks the types once; `None` at the end, or where the data breaks off.
fn scan<'a>(
    btf: &[u8],
    wanted: &[(&'a str, &'a str)],
    found: &mut HashMap<(&'a str, &'a str), u32>,
) -> Option<()> {
    if u16::from_ne_bytes(btf.first_chunk().copied()?) != MAGIC {
        return None;
    }
    let header = word(btf, 4)? as usize;
    let types = header.checked_add(word(btf, 8)? as usize)?;
    let types = btf.get(types..types.checked_add(word(btf, 12)? as usize)?)?;
    let names = btf.get(header.checked_add(word(btf, 16)? as usize)?..)?;
    let mut at = 0;
    while found.len() < wanted.len() {
        let name = word(types, at)?;
        let info = word(types, at + 4)?;
        let (kind, count) = ((info >> 24) & 31, (info & 0xffff) as usize);
        at += 12;
        if kind == KIND_STRUCT {
            for (structure, member) in wanted {
                if !is_named(names, name, structure) {
                    continue;
                }
                for index in 0..count {
                    let field = at + index * 12;
                    if is_named(names, word(types, field)?, member) {
                        // With bit fields in the structure, the upper byte is a width.
                        let bits = word(types, field + 8)?;
                        let bits = if info >> 31 == 1 {
                            bits & 0x00ff_ffff
                        } else {
                            bits
                        };
                        found.insert((*structure, *member), bits / 8);
                    }
                }
            }
        }
        at += trailing(kind, count)?;
    }
    Some(())
}

/// Bytes that follow a type's first twelve; `None` for a kind this was not written for.
fn trailing(kind: u32, count: usize) -> Option<usize> {
    Some(match kind {
        // Pointer, forward, typedef, volatile, const, restrict, function, float, type tag.
        2 | 7..=12 | 16 | 18 => 0,
        // Integer, variable, declaration tag.
        1 | 14 | 17 => 4,
        3 => 12,
        KIND_STRUCT | 5 | 15 | 19 => count * 12,
        6 | 13 => count * 8,
        _ => return None,
    })
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..)?
        .first_chunk()
        .copied()
        .map(u32::from_ne_bytes)
}

fn is_named(names: &[u8], at: u32, name: &str) -> bool {
    names
        .get(at as usize..)
        .and_then(|rest| rest.strip_prefix(name.as_bytes()))
        .is_some_and(|rest| rest.first() == Some(&0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_offset_the_programs_need_is_in_this_kernels_types() {
        let btf = std::fs::read("/sys/kernel/btf/vmlinux").unwrap();
        let wanted = [
            ("task_struct", "tgid"),
            ("task_struct", "comm"),
            ("sock", "sk_err"),
            ("sock", "sk_cgrp_data"),
            ("cgroup", "kn"),
            ("kernfs_node", "id"),
        ];
        let found = offsets(&btf, &wanted);
        for name in wanted {
            assert!(found.contains_key(&name), "{name:?}");
        }
    }

    #[test]
    fn damaged_type_information_yields_nothing_and_does_not_panic() {
        let btf = std::fs::read("/sys/kernel/btf/vmlinux").unwrap();
        for length in [0, 1, 2, 8, 20, 24, 1000, 100_000] {
            offsets(&btf[..length], &[("no_such_structure", "at_all")]);
        }
        assert!(offsets(b"not BTF at all, not even nearly", &[("sock", "sk_err")]).is_empty());
    }
}
