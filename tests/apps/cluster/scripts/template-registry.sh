cat >/tmp/nginx.conf <<'CONFIGURATION'
daemon off;
pid /tmp/pid;
error_log stderr;
events {}
http {
    access_log off;
    client_body_temp_path /tmp/body;
    proxy_temp_path /tmp/proxy;
    fastcgi_temp_path /tmp/fastcgi;
    uwsgi_temp_path /tmp/uwsgi;
    scgi_temp_path /tmp/scgi;
    server {
        listen 9001;
        location / { default_type application/json; return 200 '{"status":"ok"}\n'; }
    }
}
CONFIGURATION
exec nginx -e stderr -c /tmp/nginx.conf
