//! SIGTERM in each phase of a job.
