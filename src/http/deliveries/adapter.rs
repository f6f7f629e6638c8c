//! Deliveries as they are kept today, with a reject a fault, and as they are told: a line with all its faults.

use crate::domain::delivery::{Counts, DeliveryKind, DeliveryState, FaultCode, LineFault, Reject};
use crate::journal::{self, Operation, ReceiptState, RejectCode};

/// What is kept of a line.
pub fn kept(line: u64, faults: Vec<LineFault>) -> Vec<journal::Reject> {
    let kept = |fault: LineFault| journal::Reject {
        line,
        code: match fault.code {
            FaultCode::InvalidRecord => RejectCode::InvalidRecord,
            FaultCode::InvalidCustomer => RejectCode::InvalidCustomer,
            FaultCode::NotFound => RejectCode::NotFound,
            FaultCode::InvalidDate => RejectCode::InvalidDate,
        },
        parameter: fault.parameter,
        reason: fault.reason,
    };
    faults.into_iter().map(kept).collect()
}

/// The lines that rejects in order of lines are of.
pub fn lines_of(kept: &[journal::Reject]) -> Vec<Reject> {
    let told = |of_line: &[journal::Reject]| Reject {
        line: of_line[0].line,
        faults: of_line.iter().map(fault_of).collect(),
    };
    kept.chunk_by(|one, next| one.line == next.line)
        .map(told)
        .collect()
}

pub fn kind_of(kept: Operation) -> DeliveryKind {
    match kept {
        Operation::WholeSet => DeliveryKind::WholeSet,
        Operation::Changes => DeliveryKind::Changes,
        Operation::Rollback => DeliveryKind::Rollback,
    }
}

pub fn state_of(kept: ReceiptState) -> DeliveryState {
    match kept {
        ReceiptState::Receiving => DeliveryState::Receiving,
        ReceiptState::Published => DeliveryState::Published,
        ReceiptState::Rejected => DeliveryState::Rejected,
        ReceiptState::Abandoned => DeliveryState::Abandoned,
        ReceiptState::RolledBack => DeliveryState::RolledBack,
        ReceiptState::Superseded => DeliveryState::Superseded,
    }
}

pub fn counts_of(kept: journal::Counts) -> Counts {
    let journal::Counts {
        read,
        stored,
        ended,
        removed,
        rejected,
        customers,
        accounts,
    } = kept;
    Counts {
        read,
        stored,
        ended,
        removed,
        rejected,
        customers,
        accounts,
    }
}

fn fault_of(kept: &journal::Reject) -> LineFault {
    LineFault {
        code: match kept.code {
            RejectCode::InvalidRecord => FaultCode::InvalidRecord,
            RejectCode::InvalidCustomer => FaultCode::InvalidCustomer,
            RejectCode::NotFound => FaultCode::NotFound,
            RejectCode::InvalidDate => FaultCode::InvalidDate,
        },
        parameter: kept.parameter.clone(),
        reason: kept.reason.clone(),
    }
}
