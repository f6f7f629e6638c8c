//! What agencies ask, and whether their day is a usual one.

use super::arrival;
use super::chart::Chart;
use super::format::{count, number};
use super::operator::Operator;
use super::page::{Frame, Section, page};
use crate::access::limits::ConsumerDay;
use crate::access::terms::Terms;
use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use askama::Template;

#[derive(Template)]
#[template(path = "agencies.html")]
struct Agencies {
    frame: Frame,
    agencies: Vec<AgencyRow>,
}

struct AgencyRow {
    number: String,
    /// Its services, as the terms name them.
    services: String,
    asked: String,
    over_limit: String,
    outside_terms: Vec<(String, String)>,
    cases: Distinct,
    customers: Distinct,
    trend: Option<Chart>,
}

/// Distinct cases or customers of the day against its usual range.
struct Distinct {
    today: String,
    /// Absent on the first day.
    usual: Option<String>,
    range: String,
    unusual: bool,
    /// For the bar: of the range.
    share: usize,
}

pub async fn show(operator: Operator) -> HttpResponse {
    let lookup = &operator.console.lookup;
    let (terms, days) = (lookup.terms().load(), lookup.limits().days(arrival().today));
    let view = Agencies {
        frame: Frame::new(&operator, Section::Agencies, "Agencies").live(),
        agencies: days.iter().map(|day| AgencyRow::new(day, &terms)).collect(),
    };
    page(&operator, StatusCode::OK, &view)
}

impl AgencyRow {
    fn new(day: &ConsumerDay, terms: &Terms) -> Self {
        let services: Vec<&str> = terms
            .of(day.consumer)
            .map(|service| service.name.as_str())
            .collect();
        let outside = day.volume.outside_terms.iter();
        Self {
            number: day.consumer.to_string(),
            services: match services.is_empty() {
                true => "no service of its own".to_owned(),
                false => services.join(", "),
            },
            asked: number(day.volume.asked),
            over_limit: number(day.volume.over_limit),
            outside_terms: outside
                .map(|(term, times)| (term.clone(), number(*times)))
                .collect(),
            cases: Distinct::new(day.today.cases, day.usual_most.cases, day.usual_range.cases),
            customers: Distinct::new(
                day.today.customers,
                day.usual_most.customers,
                day.usual_range.customers,
            ),
            trend: trend(day),
        }
    }
}

impl Distinct {
    fn new(today: usize, usual_most: usize, range: usize) -> Self {
        Self {
            today: count(today),
            usual: (usual_most > 0).then(|| count(usual_most)),
            range: count(range),
            unusual: today > range,
            share: (today.saturating_mul(100) / range.max(1)).min(100),
        }
    }
}

fn trend(day: &ConsumerDay) -> Option<Chart> {
    let former = day.former.iter().map(|(_, counts)| counts.cases as f64);
    let values: Vec<f64> = former.chain([day.today.cases as f64]).collect();
    let label = format!("Distinct cases of the last {} days", values.len());
    Chart::new(&values, 112.0, 28.0, true, label)
}
