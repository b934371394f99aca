//! Every metric, in one table: documentation, `# HELP` and tests come from it.
#![forbid(unsafe_code)]

/// What a metric is to Prometheus.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Only rises.
    Counter,
    /// Only rises; a fact is a whole number of ten-thousandths, and so is the sum, so that it is
    /// rounded once, where it is written.
    Money,
    /// A fact is the difference.
    Gauge,
    /// A fact is the new value.
    Level,
    /// With these upper bounds.
    Histogram(&'static [f64]),
}

/// A row of the catalog.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row<M: 'static = Metric> {
    /// Its identifier.
    pub metric: M,
    /// Its name on `/metrics`.
    pub name: &'static str,
    /// What it is to Prometheus.
    pub kind: Kind,
    /// Its labels, the plan's first.
    pub labels: &'static [&'static str],
    /// One sentence; `# HELP`.
    pub help: &'static str,
    /// Where on the wire it comes from; for the documentation.
    pub source: &'static str,
}

/// Labels a metric may have.
pub const LABEL_LIMIT: usize = 6;

impl Kind {
    /// As `# TYPE` says it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter | Self::Money => "counter",
            Self::Gauge | Self::Level => "gauge",
            Self::Histogram(_) => "histogram",
        }
    }

    /// Exposed lines of one label set: a histogram has one per bound, one for `+Inf`, the sum and
    /// the count.
    #[must_use]
    pub const fn lines(self) -> usize {
        match self {
            Self::Counter | Self::Money | Self::Gauge | Self::Level => 1,
            Self::Histogram(bounds) => bounds.len() + 3,
        }
    }
}

impl Metric {
    /// Its row.
    #[must_use]
    #[expect(
        clippy::indexing_slicing,
        reason = "one macro writes the enum and the table, row for row"
    )]
    pub const fn row(self) -> &'static Row {
        &CATALOG[self as usize]
    }
}

impl AgentMetric {
    /// Its row.
    #[must_use]
    #[expect(
        clippy::indexing_slicing,
        reason = "one macro writes the enum and the table, row for row"
    )]
    pub const fn row(self) -> &'static Row<Self> {
        &AGENT[self as usize]
    }
}

/// The plan's buckets for request durations, refined where the platform's targets lie; seconds.
pub const REQUEST_SECONDS: &[f64] = &[
    0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 3.0, 5.0, 10.0,
];
/// The same, and what a database or a cache needs below; seconds.
pub const STORE_SECONDS: &[f64] = &[
    0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0,
    3.0, 5.0, 10.0,
];
/// The plan's buckets for payments; seconds.
pub const PAYMENT_SECONDS: &[f64] = &[0.5, 1.0, 2.0, 5.0, 10.0, 30.0];
/// Sizes of requests and responses; bytes.
pub const SIZE_BYTES: &[f64] = &[
    128.0,
    512.0,
    1024.0,
    4096.0,
    16384.0,
    65536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
];
/// Round-trip times; seconds.
pub const ROUND_TRIP_SECONDS: &[f64] = &[
    0.000_05, 0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0,
];

/// Values of orders; major units of their currency.
pub const ORDER_VALUE: &[f64] = &[
    1.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 5000.0, 10_000.0, 100_000.0,
];
/// From an order to its payment; seconds, up to a week.
pub const SETTLEMENT_SECONDS: &[f64] = &[
    1.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 21_600.0, 86_400.0, 604_800.0,
];

macro_rules! catalog {
    ($(#[$enum_meta:meta])* $enum:ident; $(#[$table_meta:meta])* $table:ident;
     $($metric:ident, $name:literal, $kind:expr, [$($label:literal),*], $help:literal, $source:literal;)*) => {
        $(#[$enum_meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $enum { $(#[doc = $help] $metric,)* }

        $(#[$table_meta])*
        pub const $table: &[Row<$enum>] = &[$(Row {
            metric: $enum::$metric, name: $name, kind: $kind, labels: &[$($label),*],
            help: $help, source: $source,
        },)*];
    };
}

catalog! {
    /// Identifies a metric of the platform.
    Metric;
    /// Every metric the platform's traffic feeds.
    CATALOG;

    Orders, "naytife_orders_total", Kind::Counter, ["shop_id", "status"],
        "Orders that were created with this status, or changed to it.", "committed SQL";
    OrdersValue, "naytife_orders_value_total", Kind::Money, ["shop_id", "currency"],
        "Value of the orders that were created, paid or not; major units.", "committed SQL";
    OrderValue, "naytife_order_value", Kind::Histogram(ORDER_VALUE), ["currency"],
        "Value of an order when it was created; major units.", "committed SQL";
    Revenue, "naytife_revenue_total", Kind::Money, ["shop_id", "currency"],
        "Value of the orders that were paid, when they were; major units.", "committed SQL";
    RevenueRefunded, "naytife_revenue_refunded_total", Kind::Money, ["shop_id", "currency"],
        "Value of the paid orders that were refunded, when they were; major units.", "committed SQL";
    Payments, "naytife_payments_total", Kind::Counter, ["shop_id", "provider", "status"],
        "Changes of an order's payment status; the provider is the order's payment method.", "committed SQL";
    PaymentSettlement, "naytife_payment_settlement_seconds", Kind::Histogram(SETTLEMENT_SECONDS), ["provider", "status"],
        "Time from an order to the outcome of its payment, of orders whose creation was seen.", "committed SQL";
    Shops, "naytife_shops", Kind::Gauge, ["status"],
        "Shops that were seen, by their status.", "committed SQL";
    ShopsActive, "naytife_shops_active_total", Kind::Gauge, [],
        "Shops that were seen and are published.", "committed SQL";
    CustomersRegistered, "naytife_customers_registered_total", Kind::Counter, ["shop_id"],
        "Customers that registered.", "committed SQL";
    CustomersDeleted, "naytife_customers_deleted_total", Kind::Counter, ["shop_id"],
        "Customers that were deleted.", "committed SQL";
    InventoryLevels, "naytife_inventory_levels", Kind::Gauge, ["shop_id", "product_id"],
        "Available quantity of a product, over those of its variations that were seen; past as many of the lowest as the rule keeps apart, of all others of the shop together.", "committed SQL";
    StockMovements, "naytife_stock_movements_total", Kind::Counter, ["shop_id", "type"],
        "Movements of stock that were recorded.", "committed SQL";
    Deployments, "naytife_deployments_total", Kind::Counter, ["shop_id", "status"],
        "Deployments that were begun, or changed to this status.", "committed SQL";
    PaymentProcessing, "naytife_payment_processing_duration_seconds", Kind::Histogram(PAYMENT_SECONDS), ["provider", "status"],
        "Duration of requests to payment routes and of webhooks, taken at the server's end.", "HTTP/1";
    CheckoutSteps, "naytife_checkout_steps_total", Kind::Counter, ["shop_id", "step", "outcome"],
        "Steps of a checkout: requests for checkout, payment, intent and confirm, then orders created and orders paid.", "HTTP/1, committed SQL";
    OrdersOrphaned, "naytife_orders_orphaned_total", Kind::Counter, ["shop_id"],
        "Orders that stayed although one of their items could not be written.", "committed SQL, PostgreSQL ErrorResponse";
    LowStock, "naytife_inventory_low_stock_variations", Kind::Gauge, ["shop_id"],
        "Variations whose available quantity is at or below the rule's bound, of those that were seen; 0 where all of a shop's are above it.", "committed SQL";
    Facts, "observer_facts_total", Kind::Counter, ["rule", "outcome"],
        "What became of the rows and requests that a rule of the business speaks of: published, rolled back, repeated, or unknown because their end or their values were hidden.", "committed SQL, HTTP/1";
    HttpRequestDuration, "naytife_http_request_duration_seconds", Kind::Histogram(REQUEST_SECONDS), ["method", "endpoint", "status_code", "shop_id", "service"],
        "Duration of HTTP requests, taken at the server's end.", "HTTP/1";
    HttpRequestWait, "naytife_http_request_wait_seconds", Kind::Histogram(REQUEST_SECONDS), ["service"],
        "Time HTTP requests waited behind others on their connection, taken at the server's end.", "HTTP/1";
    HttpRequestSize, "naytife_http_request_size_bytes", Kind::Histogram(SIZE_BYTES), ["method", "endpoint", "service"],
        "Size of HTTP requests, head and body as transferred, taken at the server's end.", "HTTP/1";
    HttpResponseSize, "naytife_http_response_size_bytes", Kind::Histogram(SIZE_BYTES), ["method", "endpoint", "service"],
        "Size of HTTP responses, head and body as transferred, taken at the server's end.", "HTTP/1";
    HttpRequestsInFlight, "naytife_http_requests_in_flight", Kind::Gauge, ["service"],
        "HTTP requests whose response is not complete, at the server's end.", "HTTP/1";
    HttpRequestsAborted, "naytife_http_requests_aborted_total", Kind::Counter, ["service", "reason"],
        "HTTP requests that have no complete response, at the server's end.", "HTTP/1";
    HttpClientRequestDuration, "naytife_http_client_request_duration_seconds", Kind::Histogram(REQUEST_SECONDS), ["service", "peer", "method", "endpoint", "status_code"],
        "Duration of HTTP requests, taken at the client's end.", "HTTP/1";
    HttpClientRequestsAborted, "naytife_http_client_requests_aborted_total", Kind::Counter, ["service", "peer", "reason"],
        "HTTP requests that have no complete response, at the client's end.", "HTTP/1";
    GraphqlErrors, "naytife_graphql_errors_total", Kind::Counter, ["service", "operation", "shop_id"],
        "GraphQL responses with errors inside HTTP 200.", "HTTP/1, JSON body";
    DatabaseConnectionsActive, "naytife_database_connections_active", Kind::Gauge, ["database", "service"],
        "Established connections to the database, busy or idle.", "PostgreSQL startup message";
    DatabaseQueryDuration, "naytife_database_query_duration_seconds", Kind::Histogram(STORE_SECONDS), ["service", "database", "query", "operation"],
        "Duration of SQL executions.", "PostgreSQL";
    DatabaseExecutionsUntimed, "naytife_database_executions_untimed_total", Kind::Counter, ["service", "database", "query", "operation"],
        "SQL executions whose duration was hidden or that had not ended when their connection did; with the durations they are all.", "PostgreSQL";
    DatabaseQueryWait, "naytife_database_query_wait_seconds", Kind::Histogram(STORE_SECONDS), ["service", "database"],
        "Time SQL executions waited behind others on their connection.", "PostgreSQL";
    DatabaseShopQueryDuration, "naytife_database_shop_query_duration_seconds", Kind::Histogram(STORE_SECONDS), ["shop_id", "service"],
        "Duration of SQL executions that name a shop.", "PostgreSQL parameters and rows";
    DatabaseErrors, "naytife_database_errors_total", Kind::Counter, ["service", "database", "sqlstate"],
        "Errors the database answered.", "PostgreSQL ErrorResponse";
    DatabaseRows, "naytife_database_rows_total", Kind::Counter, ["service", "database", "query", "operation"],
        "Rows that executions returned or changed.", "PostgreSQL CommandComplete, PortalSuspended";
    DatabaseTransactions, "naytife_database_transactions_total", Kind::Counter, ["service", "database", "outcome"],
        "Transactions that ended.", "PostgreSQL CommandComplete, ReadyForQuery";
    DatabaseHopExecutions, "naytife_database_hop_executions_total", Kind::Counter, ["service", "database"],
        "SQL executions that a pooler, which serves PostgreSQL itself, passed on: those of its clients once more, so they are in no other metric.", "PostgreSQL";
    RedisCommandDuration, "naytife_redis_command_duration_seconds", Kind::Histogram(STORE_SECONDS), ["service", "command"],
        "Duration of Redis commands, except those that wait for others (BLPOP, XREAD with BLOCK, WAIT).", "RESP";
    RedisCommandBlocked, "naytife_redis_command_blocked_seconds", Kind::Histogram(STORE_SECONDS), ["service", "command"],
        "Time until Redis commands that wait for others were answered: theirs, and no latency of the server.", "RESP";
    RedisCommandWait, "naytife_redis_command_wait_seconds", Kind::Histogram(STORE_SECONDS), ["service"],
        "Time Redis commands waited behind others on their connection.", "RESP";
    RedisCommands, "naytife_redis_commands_total", Kind::Counter, ["service", "command", "outcome"],
        "Redis commands.", "RESP";
    RedisLookups, "naytife_redis_lookups_total", Kind::Counter, ["service", "result"],
        "Keys and fields looked up in Redis.", "RESP replies to GET, GETEX, GETDEL, MGET, HGET, HMGET";
    ServiceRequests, "naytife_service_requests_total", Kind::Counter, ["client", "server", "protocol", "outcome"],
        "Requests of one service to another, each once: at the client's end where that is observed, else at the server's.", "HTTP/1, PostgreSQL, RESP";
    ServiceRequestDuration, "naytife_service_request_duration_seconds", Kind::Histogram(STORE_SECONDS), ["client", "server", "protocol"],
        "Duration of the requests of one service to another, of those whose duration was seen and that do not wait for others.", "HTTP/1, PostgreSQL, RESP";
    TcpConnectionsOpened, "naytife_tcp_connections_opened_total", Kind::Counter, ["service", "peer"],
        "Connections that a connect established.", "TCP";
    TcpConnectionsAccepted, "naytife_tcp_connections_accepted_total", Kind::Counter, ["service", "peer"],
        "Connections that a listener accepted.", "TCP";
    TcpConnectionsRefused, "naytife_tcp_connections_refused_total", Kind::Counter, ["service", "peer", "reason"],
        "Connects that did not succeed.", "TCP";
    TcpConnectionsReset, "naytife_tcp_connections_reset_total", Kind::Counter, ["service", "peer", "by"],
        "Established connections that ended with a reset.", "TCP";
    TcpSegmentsRetransmitted, "naytife_tcp_segments_retransmitted_total", Kind::Counter, ["service", "peer"],
        "Segments sent more than once.", "TCP";
    TcpRoundTrip, "naytife_tcp_round_trip_seconds", Kind::Histogram(ROUND_TRIP_SECONDS), ["service", "peer"],
        "Smoothed round-trip time, sampled at most once a second and connection.", "TCP";
}

catalog! {
    /// Identifies a metric of the agent's own.
    AgentMetric;
    /// What the agent says of itself.
    AGENT;

    BuildInfo, "observer_build_info", Kind::Level, ["version", "layout"],
        "Always 1; the agent's version and the version of its record layout.", "build";
    StartTime, "observer_start_time_seconds", Kind::Level, [],
        "When the agent started, in Unix time; what happened before it was not seen.", "CLOCK_REALTIME";
    ProbeAttached, "observer_probe_attached", Kind::Level, ["probe", "required", "reason"],
        "1 where the probe is attached; else 0, and the reason says why.", "capture";
    Records, "observer_records_total", Kind::Counter, ["stage"],
        "What each stage took: the kernel's records submitted, then records, events, messages, exchanges and facts.", "every stage";
    KernelEvents, "observer_kernel_events_total", Kind::Counter, ["event"],
        "What the kernel programs counted that is not bytes; records lost are among them.", "the programs' counters";
    Bytes, "observer_bytes_total", Kind::Counter, ["outcome", "stage", "reason"],
        "TCP payload bytes, each position of a direction once: seen = decoded + skipped + lost + pending.", "the ledger";
    BytesPending, "observer_bytes_pending", Kind::Level, [],
        "TCP payload bytes seen and not yet decided: in the ring, or held by a stage; 0 once traffic stops.", "the ledger";
    RingUsed, "observer_ring_used_bytes", Kind::Level, ["ring"],
        "Unread bytes of a ring.", "the ring's positions";
    RingSize, "observer_ring_size_bytes", Kind::Level, ["ring"],
        "Size of a ring.", "configuration";
    Lag, "observer_lag_seconds", Kind::Level, [],
        "How far the newest fact is behind the kernel; 0 where nothing waits.", "record times";
    ConnectionsTracked, "observer_connections_tracked", Kind::Level, [],
        "Connections that have state in user space.", "reassembly";
    SelectionCgroups, "observer_selection_cgroups", Kind::Level, [],
        "Cgroups that are observed, each with all below it; 0 while the agent waits for a workload that is selected.", "capture";
    SelectionTrouble, "observer_selection_trouble_cgroups", Kind::Level, ["reason"],
        "Cgroups that are selected and not observed, past capture.cgroups (bound) or because the kernel refused a program (refused), and those that are looked for four times a second rather than told of (unwatched).", "capture, inotify";
    SelectionAttached, "observer_selection_attached_total", Kind::Counter, ["when"],
        "Cgroups that the programs were attached to: because the agent started or its configuration changed (start), or as they came, before anybody had run in them (empty: nothing was missed), or after (running).", "capture, cgroup.events, cpu.stat";
    SelectionUnseen, "observer_selection_unseen_seconds_total", Kind::Counter, [],
        "For how long the oldest process had run, at most, in cgroups that were attached as they came while somebody ran in them: what it said in this time and had ended saying is in no other metric.", "/proc/PID/stat";
    SeriesLines, "observer_series_lines", Kind::Level, ["metric"],
        "Exposed lines of a metric.", "the registry";
    SeriesLinesLimit, "observer_series_lines_limit", Kind::Level, ["metric"],
        "Exposed lines a metric may have; the total's is under the metric _total.", "configuration";
    SeriesOverflow, "observer_series_overflow_total", Kind::Counter, ["metric"],
        "Measurements that were counted under _other because the metric's room was used up.", "the registry";
    SeriesRemoved, "observer_series_removed_total", Kind::Counter, ["metric"],
        "Series that were removed because their workload is gone.", "the registry";
    LabelValues, "observer_label_values", Kind::Level, [],
        "Distinct label values that are stored.", "the symbol table";
    LabelValuesRefused, "observer_label_values_refused_total", Kind::Counter, [],
        "Label values that became _other because they were too long or a bound left no room: the symbol table's, or that of a kind of value.", "the symbol table";
    GaugeLearnt, "observer_learnt_timestamp_seconds", Kind::Level, ["metric"],
        "When a gauge last learnt something from the wire, in Unix time.", "the registry";
    MapMemory, "observer_map_memory_bytes", Kind::Level, ["map"],
        "Kernel memory of a map of the programs, at its bound.", "capture";
    ProcessMemory, "observer_process_resident_memory_bytes", Kind::Level, [],
        "Resident memory of the agent; the kernel counts a ring's mapping twice.", "/proc/self/statm";
    ProcessCpu, "observer_process_cpu_seconds_total", Kind::Counter, ["mode"],
        "Processor time of the agent.", "getrusage";
    ConfigReloads, "observer_config_reloads_total", Kind::Counter, ["outcome"],
        "Reloads of the configuration that were applied, or refused for what was wrong with it.", "SIGHUP, changed files";
    ConfigReloaded, "observer_config_last_reload_successful", Kind::Level, [],
        "1 where the configuration read last is in force; 0 where it was refused and the one before it is.", "SIGHUP, changed files";
    ConfigReloadedAt, "observer_config_last_reload_success_timestamp_seconds", Kind::Level, [],
        "When the configuration in force was read, in Unix time.", "SIGHUP, changed files";
    KubernetesSynchronized, "observer_kubernetes_synchronized_timestamp_seconds", Kind::Level, ["resource"],
        "When what is known of a resource last was what the Kubernetes API said, in Unix time; 0 before its first list. A watch on which nothing happens says so about once a minute.", "the Kubernetes API";
    KubernetesErrors, "observer_kubernetes_watch_errors_total", Kind::Counter, ["resource"],
        "Lists and watches that came to nothing or broke; what is known stays meanwhile.", "the Kubernetes API";
    KubernetesObjects, "observer_kubernetes_objects", Kind::Level, ["resource"],
        "Objects that are known.", "the Kubernetes API";
    KubernetesRefused, "observer_kubernetes_objects_refused_total", Kind::Counter, ["resource"],
        "Objects for which there was no room; who they are is not known.", "the Kubernetes API";
    Scrapes, "observer_scrapes_total", Kind::Counter, ["outcome"],
        "Scrapes that were served, refused because too many ran, or cut off because the client was too slow.", "the HTTP server";
    Errors, "observer_errors_total", Kind::Counter, ["stage", "kind"],
        "Trouble the agent recovered from.", "every stage";
}
