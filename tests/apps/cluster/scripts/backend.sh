exec /programs/shop --listen 0.0.0.0:8000 --redis 10.96.0.12:6379 \
    --database 'postgres://postgres@10.96.0.11:5432/naytifedb?sslmode=disable'
