//! Why the console shows something else than what was asked for.

use super::page::simple_page;
use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, ResponseError};

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConsoleRefusal {
    #[error(
        "This port can be reached from other machines, and nothing says who the operators are. Set console.operator_token_file or console.client_certificate."
    )]
    Closed,
    #[error("The console was asked for under a name that is not this machine's. Use localhost or 127.0.0.1.")]
    ForeignHost,
    #[error("Sign in first.")]
    SignIn { reading: bool },
    #[error("The connection shows no valid client certificate whose common name names an operator.")]
    NoCertificate,
    #[error(
        "This form is not of your session, or was sent from another site. Nothing was done. Open the page again and repeat it."
    )]
    ForeignForm,
    #[error("The form did not arrive in time. Nothing was done. Send it again.")]
    TooSlow,
    #[error("There is no such page.")]
    Unknown,
    #[error("The record of use cannot be written, so nothing is shown or done.")]
    Unrecorded,
    #[error("The service met a fault. Its log says which.")]
    Failed,
}

impl ConsoleRefusal {
    fn title(self) -> &'static str {
        match self {
            Self::Closed => "The console is shut",
            Self::ForeignHost | Self::ForeignForm => "Refused",
            Self::SignIn { .. } | Self::NoCertificate => "Operators only",
            Self::Unknown => "Not found",
            Self::TooSlow | Self::Unrecorded | Self::Failed => "Not now",
        }
    }
}

impl ResponseError for ConsoleRefusal {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::Closed | Self::ForeignHost | Self::NoCertificate | Self::ForeignForm => {
                StatusCode::FORBIDDEN
            }
            Self::SignIn { reading: true } => StatusCode::SEE_OTHER,
            Self::SignIn { reading: false } => StatusCode::UNAUTHORIZED,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Unknown => StatusCode::NOT_FOUND,
            Self::Unrecorded => StatusCode::SERVICE_UNAVAILABLE,
            Self::Failed => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = simple_page(self.status_code(), self.title(), &self.to_string());
        if let Self::SignIn { reading: true } = self {
            let login = header::HeaderValue::from_static("/console/login");
            response.headers_mut().insert(header::LOCATION, login);
        }
        response
    }
}
