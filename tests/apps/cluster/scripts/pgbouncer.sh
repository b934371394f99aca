echo '"postgres" ""' >/tmp/users
cat >/tmp/pgbouncer.ini <<CONFIGURATION
[databases]
* = host=10.96.0.10 port=5432
[pgbouncer]
listen_addr = 0.0.0.0
listen_port = 5432
unix_socket_dir =
auth_type = trust
auth_file = /tmp/users
# As the platform has it, transaction, Debian's release has no named statements.
pool_mode = session
max_client_conn = 200
default_pool_size = 100
ignore_startup_parameters = extra_float_digits
CONFIGURATION
exec pgbouncer /tmp/pgbouncer.ini
