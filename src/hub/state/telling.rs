//! What the hub hands out: rows, shadow documents, records, views.
//!
//! A shadow reports `approved` and `config.approved`, the decision in force. One that waits for approval has besides only
//! who it is: nothing else is known of it.

use super::{Entry, HubSettings, HubState};
use crate::domain::endpoint::EndpointKind;
use crate::domain::identity::Facts;
use crate::domain::ids::PrinterId;
use crate::domain::job::presence::{Agent, Who};
use crate::domain::registry::{KnownEndpoint, Printer, Registry, Rules, Standing};
use crate::domain::shadow;
use crate::domain::state::{PrinterState, ReportContext, reported};
use crate::hub::view::PARKED_MAX;
use crate::hub::{Desired, Gone, HubOutput, Overview, PollRequest, PrinterRow, PrinterView};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a shadow says of a printer that waits for approval.
const OF_PENDING: [&str; 6] = ["name", "make", "model", "serial", "address", "gateway"];

/// How often possible duplicates are looked for while printers change.
const DOUBTS_PAUSE: SignedDuration = SignedDuration::from_secs(5);

impl HubState {
    /// The polls to start now.
    pub fn take_polls(&mut self) -> Vec<PollRequest> {
        std::mem::take(&mut self.to_start)
    }

    /// What is to be made durable now.
    pub fn take_output(&mut self) -> HubOutput {
        let mut output = HubOutput {
            deletes: std::mem::take(&mut self.deletes),
            records: std::mem::take(&mut self.records),
            ..HubOutput::default()
        };
        self.put_away.extend(output.deletes.iter().filter(|(_, why)| *why != Gone::Merged).cloned());
        let context = ReportContext { gateway: self.settings.gateway.as_str() };
        for id in std::mem::take(&mut self.stale_shadows) {
            let (Some(printer), Some(entry)) = (self.registry.get(&id), self.printers.get(&id)) else { continue };
            let whole =
                with_standing(reported(printer, &entry.state, context), printer, &entry.desired, self.name(printer));
            let (document, left_out) = shadow::fit(&whole, shadow::DOCUMENT_BYTES);
            let hash: [u8; 32] = Sha256::digest(document.to_string()).into();
            let Some(entry) = self.printers.get_mut(&id).filter(|entry| entry.shadow != Some(hash)) else { continue };
            if !left_out.is_empty() {
                tracing::debug!(printer = %id, ?left_out, "the shadow does not hold everything");
            }
            entry.shadow = Some(hash);
            output.shadows.push((id, document));
        }
        for id in std::mem::take(&mut self.dirty) {
            let (Some(printer), Some(entry)) = (self.registry.get(&id), self.printers.get(&id)) else { continue };
            let (printer, state) = (printer.clone(), entry.state.clone());
            let row = PrinterRow { printer, state, book: entry.book.clone(), desired: entry.desired.clone() };
            output.saves.push(row);
        }
        output
    }

    /// All printers as they are now.
    pub fn into_rows(self) -> Vec<PrinterRow> {
        let mut entries = self.printers;
        let row = |printer: Printer| {
            let Entry { state, book, desired, .. } = entries.remove(&printer.id)?;
            Some(PrinterRow { printer, state, book, desired })
        };
        self.registry.into_printers().filter_map(row).collect()
    }

    /// The views that changed; `None` for a printer that is no more. To be published after the output is durable.
    pub fn take_views(&mut self) -> Vec<(PrinterId, Option<PrinterView>)> {
        let stale = std::mem::take(&mut self.stale_views);
        stale.into_iter().map(|id| (id.clone(), self.view(&id))).collect()
    }

    /// The printers that were put away and why. To be published before the views, after the output is durable.
    pub fn take_put_away(&mut self) -> Vec<(PrinterId, Gone)> {
        std::mem::take(&mut self.put_away)
    }

    /// What is known beside single printers. Possible duplicates are looked for anew only now and then.
    pub fn overview(&mut self, now: Timestamp) -> Overview {
        let due = self.doubts_at.is_none_or(|at| now.duration_since(at).abs() >= DOUBTS_PAUSE);
        if self.doubts_stale && due {
            (self.doubts, self.doubts_at) = (Arc::new(self.registry.possible_duplicates()), Some(now));
            self.doubts_stale = false;
        }
        let count = self.registry.parked_count();
        if self.parked_count != count || self.parked_at.is_none_or(|at| now.duration_since(at).abs() >= DOUBTS_PAUSE) {
            (self.parked, self.parked_count, self.parked_at) = (self.registry.parked(PARKED_MAX), count, Some(now));
        }
        Overview {
            quarantined: self.registry.quarantined(),
            parked: self.parked.clone(),
            asking: self.asking(),
            refused: self.registry.refused(),
            duplicates: Arc::clone(&self.doubts),
        }
    }

    /// The views of the printers as they were stored: durable, whatever the rules make of them now. Once; to be published
    /// before anything else.
    pub fn take_stored_views(&mut self) -> Vec<(PrinterId, Option<PrinterView>)> {
        std::mem::take(&mut self.stored)
    }

    /// What a person calls a printer: by the configuration's names, by the list of printers, by its own word.
    pub(super) fn name(&self, printer: &Printer) -> String {
        name_of(&self.settings, printer)
    }

    fn view(&self, id: &PrinterId) -> Option<PrinterView> {
        let printer = self.registry.get(id).filter(|p| p.id == *id)?;
        Some(view_of(&self.settings, &self.registry, printer, &self.printers.get(id)?.state))
    }

    pub(super) fn tell_cloud(&mut self, id: &PrinterId, now: Timestamp) {
        let Some(name) = self.registry.get(id).map(|printer| self.name(printer)) else { return };
        let pending = self.is_pending(id);
        let Some(entry) = self.printers.get_mut(id) else { return };
        // Of one that waits there is nothing to tell, but the end of what was told before.
        if pending && entry.book.is_empty() {
            return;
        }
        if entry.allowance.is_used_up(now) {
            self.deferred += 1;
            return;
        }
        let told = entry.book.tell(id, &name, &entry.state, now);
        if !told.is_empty() {
            entry.allowance.use_up(told.len(), now);
            self.records.extend(told);
            self.dirty.insert(id.clone());
        }
    }
}

/// The views of printers as they were stored.
pub(super) fn stored_views(
    settings: &HubSettings,
    known: &[Printer],
    entries: &BTreeMap<PrinterId, Entry>,
    now: Timestamp,
) -> Vec<(PrinterId, Option<PrinterView>)> {
    let (registry, _) = Registry::restore(known.to_vec(), &Rules::default(), now);
    let view = |printer: &Printer| Some(view_of(settings, &registry, printer, &entries.get(&printer.id)?.state));
    known.iter().map(|printer| (printer.id.clone(), view(printer))).collect()
}

fn name_of(settings: &HubSettings, printer: &Printer) -> String {
    let names = &settings.rules.names;
    let named = std::iter::once(&printer.id).chain(&printer.aliases).find_map(|id| names.get(id));
    let listed = || settings.given_names.iter().find(|given| given.is_of(printer)).map(|given| &given.name);
    named.or_else(listed).unwrap_or(&printer.name).clone()
}

fn view_of(settings: &HubSettings, registry: &Registry, printer: &Printer, state: &PrinterState) -> PrinterView {
    let picture = state.picture();
    // The time of observation belongs to the up-time.
    let timed = state.ipp.last.as_ref().or(state.snmp.last.as_ref());
    // IPP at a print port is a broken page on paper.
    let is_way = |e: &&KnownEndpoint| {
        e.endpoint.kind.is_raw() || (e.endpoint.kind.is_ipp() && !registry.is_print_place(&e.endpoint))
    };
    let ways = printer.preferred().into_iter().filter(is_way).filter(|e| !printer.is_left(e));
    let make_and_model = [&printer.evidence.make, &printer.evidence.model];
    PrinterView {
        id: printer.id.clone(),
        aliases: printer.aliases.clone(),
        name: name_of(settings, printer),
        standing: printer.standing,
        location: printer.location.clone(),
        make_and_model: make_and_model.into_iter().flatten().map(String::as_str).collect::<Vec<_>>().join(" "),
        endpoints: ways.map(|e| (e.endpoint.clone(), e.pin)).collect(),
        formats: printer.raw_formats(),
        who: Arc::new(Who::new(printer.facts(), agent_of(settings, registry, printer, state))),
        status: state.status(),
        online: state.online(),
        error_code: state.error_code(),
        reasons: state.reasons(),
        accepting: picture.accepting.map(|(accepting, _)| accepting),
        capabilities: picture.capabilities.map(|(c, _)| c.clone()).unwrap_or_default(),
        up_time: timed.and_then(|o| o.up_time),
        observed_at: timed.map(|o| o.at),
    }
}

/// The agent that speaks for a printer: it answered a poll, or a sweep to which it said who it is.
fn agent_of(settings: &HubSettings, registry: &Registry, printer: &Printer, state: &PrinterState) -> Option<Agent> {
    let asked = settings.snmp && registry.snmp_endpoint(&printer.id).is_some();
    let swept = printer.endpoints.iter().filter(|e| e.endpoint.kind == EndpointKind::Snmp).map(|e| &e.announced);
    let polled = state.snmp.last.as_ref().map(|last| &last.evidence);
    let told = polled.or_else(|| swept.into_iter().find(|said| Facts::of(said).has_keys())).filter(|_| asked)?;
    Some(Agent { answers: !state.snmp.is_silent(), told: told.clone() })
}

/// The whole document of one printer.
fn with_standing(mut document: Value, printer: &Printer, desired: &Desired, name: String) -> Value {
    let approved = printer.standing == Standing::Adopted;
    let Value::Object(fields) = &mut document else { return document };
    fields.insert("name".into(), crate::cloud::wire::clip(&name, 160).into());
    if !approved {
        fields.retain(|key, _| OF_PENDING.contains(&key.as_str()));
        fields.extend([("status".to_owned(), json!("pending")), ("online".to_owned(), json!(false))]);
    }
    let mut config = json!({ "approved": approved });
    let name = desired.name.then_some("names are given by the configuration: printers.names");
    let refused = [("approved", desired.refused.as_deref()), ("name", name)];
    let refused: Map<String, Value> =
        refused.into_iter().filter_map(|(key, why)| Some((key.to_owned(), why?.into()))).collect();
    if let (false, Value::Object(config)) = (refused.is_empty(), &mut config) {
        config.insert("refused".into(), refused.into());
    }
    fields.extend([("approved".to_owned(), json!(approved)), ("config".to_owned(), config)]);
    document
}
