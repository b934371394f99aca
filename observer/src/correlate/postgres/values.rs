//! Takes the values that rules read out of rows and parameters.

use std::sync::Arc;

use smallvec::SmallVec;

use super::{Cell, Value, Wanted};
use crate::decode::postgres::{Bind, Columns, Value as Wire, Values};

/// Distinct values kept of one execution's rows.
const DISTINCT: usize = 64;
/// Values kept of one execution where its rows are wanted row by row.
pub(super) const CELLS: usize = 1024;
/// Parameters that one statement's rules may read.
const PARAMETERS: usize = 64;

/// The columns of a result that rules read.
#[derive(Clone, Debug, Default)]
pub(super) struct Selection {
    wanted: Option<Arc<Wanted>>,
    columns: SmallVec<[Selected; 4]>,
}

impl Selection {
    /// What they were selected for.
    pub(super) fn wanted(&self) -> Option<&Arc<Wanted>> {
        self.wanted.as_ref()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// Their places in a row, from 0.
    pub(super) fn fields(&self) -> impl Iterator<Item = usize> {
        self.columns.iter().map(Selected::field)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Selected> {
        self.columns.iter_mut()
    }

    /// Those of them that `wanted` asks for too: a server describes a statement once, and rules may
    /// change after that.
    pub(super) fn of(&self, wanted: &Arc<Wanted>) -> Self {
        let Some(before) = self.wanted.as_ref().filter(|before| *before != wanted) else {
            return self.clone();
        };
        let columns = self.columns.iter().filter_map(|selected| {
            let name = before.columns.get(usize::from(selected.wanted))?;
            let place = wanted.columns.iter().position(|column| column == name)?;
            Some(Selected {
                wanted: u16::try_from(place).ok()?,
                rows: wanted.rows,
                ..*selected
            })
        });
        Self {
            columns: columns.collect(),
            wanted: Some(Arc::clone(wanted)),
        }
    }
}

/// One of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Selected {
    /// Its place in a row.
    field: u16,
    /// Its place in [`Wanted::columns`].
    wanted: u16,
    oid: u32,
    pub(super) binary: bool,
    /// Whether it is wanted of every row, be it the same as in the row before or not.
    rows: bool,
}

impl Selected {
    pub(super) fn field(&self) -> usize {
        usize::from(self.field)
    }
}

/// Finds the wanted columns in a description.
pub(super) fn select(columns: Columns<'_>, wanted: Arc<Wanted>) -> Selection {
    let mut selection = Selection::default();
    if wanted.columns.is_empty() {
        return selection;
    }
    for (field, column) in (0_u16..).zip(columns) {
        let place = (0_u16..)
            .zip(&wanted.columns)
            .find(|(_, name)| name.as_bytes() == column.name);
        if let Some((place, _)) = place {
            selection.columns.push(Selected {
                field,
                wanted: place,
                oid: column.oid,
                binary: column.binary,
                rows: wanted.rows,
            });
        }
    }
    selection.wanted = Some(wanted);
    selection
}

/// Takes the selected values of a row: each that differs from the one before it, or each.
pub(super) fn take_row(
    mut values: Values<'_>,
    selection: &Selection,
    row: u64,
    kept: &mut Vec<Cell>,
) {
    let row = u32::try_from(row).unwrap_or(u32::MAX);
    let rows = selection
        .columns
        .first()
        .is_some_and(|selected| selected.rows);
    if rows && kept.len().saturating_add(selection.columns.len()) > CELLS {
        return;
    }
    let mut at = 0;
    for selected in &selection.columns {
        let value = values.nth(selected.field().saturating_sub(at));
        at = selected.field().saturating_add(1);
        let bytes = match value {
            None => return,
            Some(Wire::Missing) => continue,
            Some(Wire::Null) => None,
            Some(Wire::Bytes(bytes)) => Some(bytes),
        };
        if !rows {
            let mut newest = kept.iter().rev();
            let last = newest.find(|cell| cell.column == selected.wanted);
            let again = last.is_some_and(|last| last.value.bytes.as_deref() == bytes);
            if again || kept.len() >= DISTINCT {
                continue;
            }
        }
        let value = Value {
            binary: selected.binary,
            oid: selected.oid,
            bytes: bytes.map(SmallVec::from_slice),
        };
        kept.push(Cell {
            row,
            column: selected.wanted,
            value,
        });
    }
}

/// Takes the wanted parameters, in the order in which they are wanted.
pub(super) fn take_parameters(bind: &Bind<'_>, wanted: &Wanted) -> SmallVec<[Option<Value>; 2]> {
    let mut taken = SmallVec::new();
    if wanted.parameters.is_empty() {
        return taken;
    }
    taken.resize(wanted.parameters.len().min(PARAMETERS), None);
    for (index, value) in bind.values.clone().enumerate() {
        for (slot, number) in taken.iter_mut().zip(&wanted.parameters) {
            if usize::from(*number) != index.saturating_add(1) {
                continue;
            }
            let bytes = match value {
                Wire::Missing => continue,
                Wire::Null => None,
                Wire::Bytes(bytes) => Some(SmallVec::from_slice(bytes)),
            };
            *slot = Some(Value {
                binary: bind.formats.binary(index),
                oid: 0,
                bytes,
            });
        }
    }
    taken
}

/// Fills in the parameters' types, which the server may have told after the `Bind`.
pub(super) fn name_types(parameters: &mut [Option<Value>], wanted: &Wanted, types: &[u32]) {
    for (value, number) in parameters.iter_mut().zip(&wanted.parameters) {
        let oid = usize::from(*number)
            .checked_sub(1)
            .and_then(|index| types.get(index));
        if let (Some(value), Some(oid)) = (value, oid) {
            value.oid = *oid;
        }
    }
}
