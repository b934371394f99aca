//! An exchange becomes facts: route, shop, query.
