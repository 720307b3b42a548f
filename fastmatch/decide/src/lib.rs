//! Configuration compiled to tables: identity, route, policy, record of one request.
