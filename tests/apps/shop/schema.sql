-- The platform's tables, as far as the shop's statements touch them.
CREATE TYPE order_status_type AS ENUM ('pending', 'processing', 'completed', 'cancelled', 'refunded');
CREATE TYPE payment_status_type AS ENUM ('pending', 'paid', 'failed', 'refunded', 'partial_refund');
CREATE TYPE shipping_status_type AS ENUM ('pending', 'shipped', 'delivered', 'cancelled', 'returned');
CREATE TYPE payment_method_type AS ENUM ('flutterwave', 'paystack', 'paypal', 'stripe', 'pay_on_delivery');

CREATE TABLE users (
    user_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    sub varchar(255) UNIQUE NOT NULL,
    email varchar(255) UNIQUE NOT NULL,
    name varchar(100),
    created_at timestamp NOT NULL DEFAULT now(),
    last_login timestamp NOT NULL DEFAULT now()
);

CREATE TABLE shops (
    shop_id bigserial PRIMARY KEY,
    owner_id uuid NOT NULL REFERENCES users,
    title varchar(50) NOT NULL,
    subdomain varchar(50) UNIQUE NOT NULL,
    email varchar(50) NOT NULL DEFAULT '',
    currency_code varchar(3) NOT NULL DEFAULT 'NGN',
    status varchar(10) NOT NULL DEFAULT 'PUBLISHED',
    about text,
    updated_at timestamptz NOT NULL DEFAULT now(),
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE products (
    product_id bigserial PRIMARY KEY,
    title varchar(50) NOT NULL,
    description text NOT NULL,
    status varchar(10) NOT NULL DEFAULT 'PUBLISHED',
    updated_at timestamptz NOT NULL DEFAULT now(),
    created_at timestamptz NOT NULL DEFAULT now(),
    shop_id bigint NOT NULL REFERENCES shops ON DELETE CASCADE
);

CREATE TABLE product_variations (
    product_variation_id bigserial PRIMARY KEY,
    sku varchar(50) NOT NULL,
    description text NOT NULL,
    price numeric(10, 2) NOT NULL,
    available_quantity bigint NOT NULL,
    seo_description text,
    seo_keywords text[],
    seo_title text,
    is_default boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    product_id bigint NOT NULL REFERENCES products ON DELETE CASCADE,
    shop_id bigint NOT NULL REFERENCES shops ON DELETE CASCADE,
    UNIQUE (shop_id, sku)
);

CREATE TABLE shop_customers (
    shop_customer_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    email varchar(255) NOT NULL,
    name varchar(100),
    locale varchar(10),
    profile_picture text,
    verified_email boolean,
    auth_provider varchar(50),
    auth_provider_id varchar(255),
    created_at timestamptz NOT NULL DEFAULT now(),
    last_login timestamptz NOT NULL DEFAULT now(),
    shop_id bigint NOT NULL REFERENCES shops ON DELETE CASCADE,
    UNIQUE (email, shop_id)
);

CREATE TABLE orders (
    order_id bigserial PRIMARY KEY,
    status order_status_type NOT NULL DEFAULT 'pending',
    amount numeric(10, 2) NOT NULL,
    discount numeric(10, 2) NOT NULL,
    shipping_cost numeric(10, 2) NOT NULL,
    tax numeric(10, 2) NOT NULL,
    shipping_address text NOT NULL,
    payment_method payment_method_type NOT NULL,
    payment_status payment_status_type NOT NULL DEFAULT 'pending',
    shipping_method varchar(10) NOT NULL,
    shipping_status shipping_status_type NOT NULL DEFAULT 'pending',
    transaction_id text,
    username varchar(50) NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    shop_customer_id uuid REFERENCES shop_customers ON DELETE CASCADE,
    shop_id bigint NOT NULL REFERENCES shops ON DELETE CASCADE,
    customer_name varchar(100) NOT NULL,
    customer_email varchar(100),
    customer_phone varchar(20)
);
CREATE INDEX ON orders (shop_id, order_id);
CREATE INDEX ON orders (transaction_id);

CREATE TABLE order_items (
    order_item_id bigserial PRIMARY KEY,
    quantity bigint NOT NULL,
    price numeric(10, 2) NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    product_variation_id bigint NOT NULL REFERENCES product_variations,
    order_id bigint NOT NULL REFERENCES orders ON DELETE CASCADE,
    shop_id bigint NOT NULL REFERENCES shops ON DELETE CASCADE
);
CREATE INDEX ON order_items (order_id);

CREATE TABLE stock_movements (
    movement_id bigserial PRIMARY KEY,
    product_variation_id bigint NOT NULL REFERENCES product_variations ON DELETE CASCADE,
    shop_id bigint NOT NULL REFERENCES shops ON DELETE CASCADE,
    movement_type varchar(50) NOT NULL,
    quantity_change integer NOT NULL,
    quantity_before integer NOT NULL,
    quantity_after integer NOT NULL,
    reference_id bigint,
    notes text,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- Five shops of one owner, twenty products each; ids are dense and begin at 1.
INSERT INTO users (sub, email, name) VALUES ('owner@example.com', 'owner@example.com', 'Owner');
INSERT INTO shops (owner_id, title, subdomain)
    SELECT user_id, 'Shop ' || n, 'shop' || n FROM users, generate_series(1, 5) n;
INSERT INTO products (title, description, shop_id)
    SELECT 'Product ' || n, repeat('It is very good. ', 1 + n % 20), 1 + (n - 1) / 20
    FROM generate_series(1, 100) n;
INSERT INTO product_variations (sku, description, price, available_quantity, product_id, shop_id)
    SELECT 'SKU-' || product_id, 'the only one', 4.99 + product_id, 1000000, product_id, shop_id
    FROM products ORDER BY product_id;
