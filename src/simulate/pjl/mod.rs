//! Printer Job Language: takes it out of a stream of bytes, and answers it.
//!
//! After HP's *Printer Job Language Technical Reference Manual* (TRM). Three parts, none of which does I/O: [`Splitter`]
//! tells commands from documents, [`Command`] is one command, `answer` has what goes back.
//!
//! ```text
//!            UEL, or a line `@PJL …`                        ENTER LANGUAGE, or anything that is no `@PJL`
//!   ┌──────┐                        ┌──────────┐                                     ┌──────────┐
//!   │ Open │ ─────────────────────▶ │ Commands │ ──────────────────────────────────▶ │ Document │
//!   └──────┘                        └──────────┘ ◀────────────────────────────────── └──────────┘
//!      │                                                 UEL: the document ends           ▲
//!      └─────────── anything else: a document without PJL ────────────────────────────────┘
//! ```
//!
//! - The universal exit language sequence (UEL) is `ESC %-12345X`; it ends a document wherever it stands.
//! - A command is a line that begins with `@PJL` and ends with LF, with or without CR before it. `@PJL` must be in
//!   upper case (TRM chapter 2); what follows may be in either.
//! - Behind UEL or a command, CR, LF, blanks and tabs that no command follows are skipped; at the very start of a connection
//!   they are a document: any byte there moves paper.
//! - A line longer than [`MAX_LINE`] is skipped to its end and answered by nobody.
//! - At the end of the stream a line without its LF is dropped, as it never became a command.
//!
//! Not done: file system commands, `DMINFO`, `DMCMD`, passwords, `OPMSG` and `STMSG` (which would stop the printer until
//! somebody presses a key), `DEFAULT` beyond the end of the connection.

mod answer;
mod command;
mod splitter;

pub(super) use answer::{Channel, Environment, JobEvent, job_status, page_status, status_code};
pub(super) use command::Command;
pub(super) use splitter::{Piece, Splitter};

/// Longest command line, its LF included.
pub(super) const MAX_LINE: usize = 4096;

/// Universal exit language.
pub(super) const UEL: &[u8] = b"\x1b%-12345X";
