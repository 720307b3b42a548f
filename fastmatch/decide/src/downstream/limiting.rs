//! The place of rate limits in the way of a request: counted, noted for the client, told to the operator.

use http1::request::RequestHead;

use super::Downstream;
use crate::config::Tables;
use crate::events::Event;
use crate::limits::Outcome;
use crate::route::Route;
use crate::segment::Counter;

impl Downstream {
    /// Counts the request in the limits of its route. True when one refuses it; what its client is told is noted.
    #[inline]
    pub(super) fn is_limited(
        &mut self,
        tables: &Tables,
        route: &Route,
        head: &RequestHead<'_, '_>,
    ) -> bool {
        !route.limits.is_empty() && self.exceeds(tables, route, head)
    }

    fn exceeds(&mut self, tables: &Tables, route: &Route, head: &RequestHead<'_, '_>) -> bool {
        let outcome = self
            .gate
            .counting(self.exchange.decided, tables.limiting.passes_unknown)
            .check(&route.limits, self.exchange.client, head);
        if outcome.unknown_count > 0 {
            self.gate
                .count(Counter::LimitTableFull, outcome.unknown_count);
        }
        let note = &mut self.exchange.limit_note;
        if outcome.is_exceeded && !route.observe {
            outcome.write_refusal(&mut note.fields);
            outcome.write_names(&mut note.names);
            self.gate.route_limited(self.exchange.place);
            self.tell_limit(&outcome, head, Counter::Limited, "limited");
            return true;
        }
        if outcome.is_exceeded {
            self.tell_limit(&outcome, head, Counter::LimitObserved, "limit_observed");
        } else if tables.limiting.always_tells {
            outcome.write_fields(&mut note.fields);
        }
        false
    }

    fn tell_limit(
        &self,
        outcome: &Outcome<'_>,
        head: &RequestHead<'_, '_>,
        counter: Counter,
        action: &'static str,
    ) {
        self.gate.count(counter, 1);
        let limit = outcome.name().as_bytes();
        self.gate.record_refusal(&Event {
            limit,
            ..self.event(head, None, action)
        });
    }
}
