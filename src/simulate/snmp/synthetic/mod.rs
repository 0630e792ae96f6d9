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
use crate::simulate::attributes::Ports;
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

/// Printers behind one address that an agent shows, each a row of hrDeviceTable.
const MAX_PRINTERS: usize = 32;

/// A printer at the moment of a question.
pub(super) struct Moment {
    pub(super) view: View,
    pub(super) profile: &'static Profile,
    pub(super) kind: &'static Kind,
    /// `printer-uri`.
    pub(super) uri: String,
    /// Where it listens.
    pub(super) ports: Ports,
    /// IEEE 1284 device id.
    pub(super) device_id: String,
}

/// Makes a value for a row (from 0).
type Read = fn(&Moment, usize) -> Value;

#[derive(Debug, Clone)]
enum Object {
    Fixed(Value),
    /// Of the printer of this number behind the address, and the row.
    Read(Read, u16, u16),
}

/// Instances of one shape of printer, or of several behind one address.
#[derive(Debug)]
pub(super) struct Layout {
    objects: Sorted<Object>,
}

/// What decides which instances there are, for each printer.
#[derive(PartialEq, Eq, Hash)]
struct Shape {
    profile: &'static str,
    supplies: usize,
    trays: usize,
    covers: usize,
    console: usize,
    /// Which of IPP, AppSocket and LPD it listens for.
    listens: [bool; 3],
}

/// Collects instances.
struct Builder<'a> {
    /// The printer whose instances are laid out.
    moment: &'a Moment,
    /// Its number behind the address, from 0.
    slot: u16,
    /// Its hrDeviceIndex.
    device: u32,
    entries: Vec<(Oid, Object)>,
}

impl Moment {
    fn shape(&self) -> Shape {
        let view = &self.view;
        Shape {
            profile: self.profile.key,
            supplies: view.supplies.len(),
            trays: view.trays.len(),
            covers: view.covers.len(),
            console: view.console.len(),
            listens: [self.ports.ipp, self.ports.appsocket, self.ports.lpd].map(|port| port.is_some()),
        }
    }

    pub(super) fn kind_of(profile: &'static Profile) -> &'static Kind {
        kind(profile)
    }
}

impl Layout {
    /// The instances of these printers, from the first with a row of hrDeviceTable each.
    pub(super) fn of(moments: &[Moment]) -> Arc<Layout> {
        static LAYOUTS: LazyLock<Mutex<HashMap<Vec<Shape>, Arc<Layout>>>> = LazyLock::new(Mutex::default);
        let shape: Vec<Shape> = moments.iter().map(Moment::shape).collect();
        let mut layouts = LAYOUTS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(layout) = layouts.get(&shape) {
            return layout.clone();
        }
        if layouts.len() >= MAX_LAYOUTS {
            layouts.clear();
        }
        let layout = Arc::new(Layout::new(moments));
        layouts.insert(shape, layout.clone());
        layout
    }

    fn new(moments: &[Moment]) -> Layout {
        let mut entries = Vec::with_capacity(512);
        for (slot, moment) in (0..).zip(moments.iter().take(MAX_PRINTERS)) {
            let device = moments.first().map_or(1, |first| first.kind.device) + u32::from(slot);
            let mut builder = Builder { moment, slot, device, entries };
            if slot == 0 {
                host::lay_out(&mut builder);
                vendor::lay_out(&mut builder);
            }
            host::printer(&mut builder);
            printer::lay_out(&mut builder);
            supplies::lay_out(&mut builder);
            entries = builder.entries;
        }
        printer::port_monitor_scalars(&mut entries, moments);
        let (objects, doubles) = Sorted::new(entries);
        debug_assert!(doubles.is_empty(), "laid out twice: {doubles:?}");
        Layout { objects }
    }
}

/// A layout with the values of a moment.
pub(super) struct Printers<'a> {
    pub(super) layout: &'a Layout,
    pub(super) moments: &'a [Moment],
}

impl Printers<'_> {
    fn value(&self, object: &Object) -> Value {
        match object {
            Object::Fixed(value) => value.clone(),
            Object::Read(read, slot, row) => match self.moments.get(usize::from(*slot)) {
                Some(moment) => read(moment, usize::from(*row)),
                // Cannot be: the layout was made for as many printers.
                None => Value::Null,
            },
        }
    }

    /// What the printers show, with their hrDeviceIndex.
    fn devices(&self) -> impl Iterator<Item = (u32, &View)> {
        let first = self.moments.first().map_or(1, |moment| moment.kind.device);
        (first..).zip(self.moments.iter().take(MAX_PRINTERS)).map(|(device, moment)| (device, &moment.view))
    }
}

impl Objects for Printers<'_> {
    fn get(&self, oid: &Oid) -> Option<Value> {
        self.layout.objects.get(oid).map(|object| self.value(object)).or_else(|| alerts::get(self.devices(), oid))
    }

    fn next(&self, oid: &Oid) -> Option<(Oid, Value)> {
        let laid_out = self.layout.objects.after(oid);
        if let Some(alert) = alerts::next(self.devices(), oid)
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
        self.entries.push((Builder::oid(&MIB_2, &[object, index]), Object::Read(read, self.slot, row)));
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
        (object, [&[self.device], rows].concat())
    }

    /// A private instance.
    fn private(&mut self, object: &[u32], row: usize, read: Read) {
        let row = u16::try_from(row).unwrap_or(u16::MAX);
        self.entries.push((Builder::oid(&ENTERPRISES, &[object]), Object::Read(read, self.slot, row)));
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
