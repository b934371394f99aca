# Asks the registry whether it is there, and the backend for everything else.
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
    proxy_http_version 1.1;
    proxy_set_header Connection '';
    upstream backend { server 10.96.0.20:8000; keepalive 8; }
    upstream template-registry { server 10.96.0.21:9001; keepalive 8; }
    server {
        listen 9003;
        location / { proxy_pass http://backend; }
        location = /health { proxy_pass http://template-registry; }
        location = /ready { return 200; }
    }
}
CONFIGURATION
exec nginx -e stderr -c /tmp/nginx.conf
