export PATH="$(ls -d /usr/lib/postgresql/*/bin | tail -n 1):$PATH"
initdb --auth=trust --encoding=UTF8 --locale=C --no-sync --username=postgres --pgdata=/tmp/data >/dev/null
echo 'host all all all trust' >>/tmp/data/pg_hba.conf
echo 'CREATE DATABASE naytifedb' | postgres --single -D /tmp/data postgres >/dev/null
exec postgres -D /tmp/data -c listen_addresses=0.0.0.0 -c unix_socket_directories= -c fsync=off \
    -c max_connections=200 -c log_statement=all -c log_line_prefix='%p|%d|%a|%e|' \
    -c log_min_messages=warning 2>/logs/statements
