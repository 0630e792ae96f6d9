//! The objects of a simulated printer, made of what it shows of itself at the moment of the question ([`View`]).
//!
//! Which instances there are depends on the kind of device only, so they are laid out once for all printers of a shape
//! ([`Layout`]) and shared; a value is made when it is asked for. The rows of prtAlertTable come and go, so they are
//! not laid out but looked up in the view.

mod alerts;
mod host;
mod printer;
mod supplies;
mod vendor;

use super::kind::{Kind, kind};
use super::objects::{Objects, Sorted};
use crate::simulate::profiles::Profile;
use crate::simulate::view::View;
use async_snmp::{Oid, Value};
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

/// mib-2 (1.3.6.1.2.1).
const MIB_2: [u32; 6] = [1, 3, 6, 1, 2, 1];
/// printmib (RFC 3805).
const PRINTER_MIB: u32 = 43;
/// enterprises (1.3.6.1.4.1).
const ENTERPRISES: [u32; 6] = [1, 3, 6, 1, 4, 1];
/// Layouts kept; a shape more, and all are made anew as they are asked for.
const MAX_LAYOUTS: usize = 256;

/// A printer at the moment of a question.
pub(super) struct Moment {
    pub(super) view: View,
    pub(super) profile: &'static Profile,
    pub(super) kind: &'static Kind,
    /// `printer-uri`.
    pub(super) uri: String,
    /// IEEE 1284 device id.
    pub(super) device_id: String,
}

/// Makes a value for a row (from 0).
type Read = fn(&Moment, usize) -> Value;

#[derive(Debug, Clone)]
enum Object {
    Fixed(Value),
    Read(Read, u16),
}

/// Instances of one shape of printer.
#[derive(Debug)]
pub(super) struct Layout {
    objects: Sorted<Object>,
    device: u32,
}

/// What decides which instances there are.
#[derive(PartialEq, Eq, Hash)]
struct Shape {
    profile: &'static str,
    supplies: usize,
    trays: usize,
    covers: usize,
    console: usize,
}

/// Collects instances.
struct Builder<'a> {
    moment: &'a Moment,
    entries: Vec<(Oid, Object)>,
}

impl Moment {
    /// The objects of this moment.
    pub(super) fn layout(&self) -> Arc<Layout> {
        static LAYOUTS: LazyLock<Mutex<HashMap<Shape, Arc<Layout>>>> = LazyLock::new(Mutex::default);
        let view = &self.view;
        let shape = Shape {
            profile: self.profile.key,
            supplies: view.supplies.len(),
            trays: view.trays.len(),
            covers: view.covers.len(),
            console: view.console.len(),
        };
        let mut layouts = LAYOUTS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(layout) = layouts.get(&shape) {
            return layout.clone();
        }
        if layouts.len() >= MAX_LAYOUTS {
            layouts.clear();
        }
        let layout = Arc::new(Layout::new(self));
        layouts.insert(shape, layout.clone());
        layout
    }

    pub(super) fn kind_of(profile: &'static Profile) -> &'static Kind {
        kind(profile)
    }
}

impl Layout {
    fn new(moment: &Moment) -> Layout {
        let mut builder = Builder { moment, entries: Vec::with_capacity(512) };
        host::lay_out(&mut builder);
        printer::lay_out(&mut builder);
        supplies::lay_out(&mut builder);
        vendor::lay_out(&mut builder);
        let (objects, doubles) = Sorted::new(builder.entries);
        debug_assert!(doubles.is_empty(), "laid out twice: {doubles:?}");
        Layout { objects, device: moment.kind.device }
    }
}

/// A layout with the values of a moment.
pub(super) struct Printer<'a> {
    pub(super) layout: &'a Layout,
    pub(super) moment: &'a Moment,
}

impl Printer<'_> {
    fn value(&self, object: &Object) -> Value {
        match object {
            Object::Fixed(value) => value.clone(),
            Object::Read(read, row) => read(self.moment, usize::from(*row)),
        }
    }
}

impl Objects for Printer<'_> {
    fn get(&self, oid: &Oid) -> Option<Value> {
        self.layout
            .objects
            .get(oid)
            .map(|object| self.value(object))
            .or_else(|| alerts::get(&self.moment.view, self.layout.device, oid))
    }

    fn next(&self, oid: &Oid) -> Option<(Oid, Value)> {
        let laid_out = self.layout.objects.after(oid);
        if let Some(alert) = alerts::next(&self.moment.view, self.layout.device, oid)
            && laid_out.is_none_or(|(at, _)| alert.0 < *at)
        {
            return Some(alert);
        }
        laid_out.map(|(at, object)| (at.clone(), self.value(object)))
    }
}

impl Builder<'_> {
    fn oid(prefix: &[u32], rest: &[&[u32]]) -> Oid {
        Oid::new(prefix.iter().chain(rest.iter().copied().flatten()).copied())
    }

    /// An instance below mib-2 that never changes.
    fn fixed(&mut self, object: &[u32], index: &[u32], value: Value) {
        self.entries.push((Builder::oid(&MIB_2, &[object, index]), Object::Fixed(value)));
    }

    /// An instance below mib-2 that is read when asked for.
    fn read(&mut self, object: &[u32], index: &[u32], row: usize, read: Read) {
        let row = u16::try_from(row).unwrap_or(u16::MAX);
        self.entries.push((Builder::oid(&MIB_2, &[object, index]), Object::Read(read, row)));
    }

    /// An instance of Printer-MIB.
    fn printer(&mut self, object: &[u32], rows: &[u32], row: usize, read: Read) {
        let (object, index) = self.place(object, rows);
        self.read(&object, &index, row, read);
    }

    /// An instance of Printer-MIB that never changes.
    fn printer_fixed(&mut self, object: &[u32], rows: &[u32], value: Value) {
        let (object, index) = self.place(object, rows);
        self.fixed(&object, &index, value);
    }

    fn place(&self, object: &[u32], rows: &[u32]) -> (Vec<u32>, Vec<u32>) {
        let object = [&[PRINTER_MIB], object].concat();
        (object, [&[self.moment.kind.device], rows].concat())
    }

    /// A private instance.
    fn private(&mut self, object: &[u32], read: Read) {
        self.entries.push((Builder::oid(&ENTERPRISES, &[object]), Object::Read(read, 0)));
    }

    /// A private instance that never changes.
    fn private_fixed(&mut self, object: &[u32], value: Value) {
        self.entries.push((Builder::oid(&ENTERPRISES, &[object]), Object::Fixed(value)));
    }
}

fn text(text: &str) -> Value {
    Value::OctetString(Bytes::copy_from_slice(text.as_bytes()))
}

fn integer(value: i64) -> Value {
    Value::Integer(i32::try_from(value).unwrap_or(if value < 0 { i32::MIN } else { i32::MAX }))
}

/// Wraps, as counters do.
fn counter(value: i64) -> Value {
    Value::Counter32(u32::try_from(value.rem_euclid(1 << 32)).unwrap_or_default())
}

/// Row numbers begin at 1.
fn number(row: usize) -> u32 {
    u32::try_from(row).unwrap_or(u32::MAX).saturating_add(1)
}
