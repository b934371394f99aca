//! The platform's statements, with the header comments that its generator leaves in them.
//!
//! Enumerations pass as text, as the platform's driver sends them.

macro_rules! statements {
    ($($name:ident $title:literal $kind:literal $text:literal;)*) => {
        $(pub(crate) const $name: &str = concat!("-- name: ", $title, " ", $kind, "\n", $text);)*
    };
}

statements! {
    GET_USER "GetUserBySub" ":one"
        "SELECT user_id, email, name FROM users WHERE sub = $1";
    GET_SHOPS_BY_OWNER "GetShopsByOwner" ":many"
        "SELECT shop_id, title, subdomain, currency_code, status FROM shops WHERE owner_id = $1";
    GET_SHOP "GetShop" ":one"
        "SELECT shop_id, title, subdomain, email, currency_code, status, about FROM shops WHERE shop_id = $1";
    GET_SHOP_BY_SUBDOMAIN "GetShopBySubDomain" ":one"
        "SELECT shop_id, title, subdomain, currency_code, status FROM shops WHERE subdomain = $1";
    GET_SHOP_ID_BY_SUBDOMAIN "GetShopIDBySubDomain" ":one"
        "SELECT shop_id FROM shops WHERE subdomain = $1";

    GET_PRODUCTS "GetProducts" ":many"
        "SELECT product_id, title, description, status, shop_id FROM products\nWHERE shop_id = $1 AND product_id > $2\nORDER BY product_id\nLIMIT $3";
    GET_PRODUCT "GetProduct" ":one"
        "SELECT p.product_id, p.title, p.description, p.status, p.shop_id, v.price, v.available_quantity\nFROM products p JOIN product_variations v USING (product_id)\nWHERE p.product_id = $1 AND p.shop_id = $2";

    CREATE_ORDER "CreateOrder" ":one"
        "INSERT INTO orders (status, amount, discount, shipping_cost, tax, shipping_address, payment_method, payment_status, shipping_method, shipping_status, transaction_id, username, shop_customer_id, shop_id, customer_name, customer_email, customer_phone)\nVALUES ($1::text::order_status_type, $2, $3, $4, $5, $6, $7::text::payment_method_type, $8::text::payment_status_type, $9, $10::text::shipping_status_type, $11, $12, $13, $14, $15, $16, $17)\nRETURNING order_id, status::text AS status, amount, discount, shipping_cost, tax, shipping_address, payment_method::text AS payment_method, payment_status::text AS payment_status, shipping_method, shipping_status::text AS shipping_status, transaction_id, username, created_at, updated_at, shop_customer_id, shop_id, customer_name, customer_email, customer_phone";
    CREATE_ORDER_ITEM "CreateOrderItem" ":one"
        "INSERT INTO order_items (quantity, price, product_variation_id, order_id, shop_id)\nVALUES ($1, $2, $3, $4, $5)\nRETURNING order_item_id, quantity, price, created_at, updated_at, product_variation_id, order_id, shop_id";
    GET_ORDER "GetOrder" ":one"
        "SELECT order_id, status::text AS status, amount, discount, shipping_cost, tax, shipping_address, payment_method::text AS payment_method, payment_status::text AS payment_status, shipping_method, shipping_status::text AS shipping_status, transaction_id, username, created_at, updated_at, shop_customer_id, shop_id, customer_name, customer_email, customer_phone\nFROM orders WHERE order_id = $1 AND shop_id = $2";
    GET_ORDER_ITEMS "GetOrderItemsByOrder" ":many"
        "SELECT order_item_id, quantity, price, created_at, updated_at, product_variation_id, order_id, shop_id\nFROM order_items WHERE order_id = $1 AND shop_id = $2";
    LIST_ORDERS "ListOrders" ":many"
        "SELECT order_id, status::text AS status, amount, discount, shipping_cost, tax, shipping_address, payment_method::text AS payment_method, payment_status::text AS payment_status, shipping_method, shipping_status::text AS shipping_status, transaction_id, username, created_at, updated_at, shop_customer_id, shop_id, customer_name, customer_email, customer_phone\nFROM orders WHERE shop_id = $1 ORDER BY order_id DESC LIMIT $2 OFFSET $3";
    COUNT_ORDERS "CountOrders" ":one"
        "SELECT count(*) FROM orders WHERE shop_id = $1";
    UPDATE_ORDER "UpdateOrder" ":exec"
        "UPDATE orders SET status = $1::text::order_status_type, amount = $2, discount = $3, shipping_cost = $4, tax = $5, shipping_address = $6, payment_method = $7::text::payment_method_type, payment_status = $8::text::payment_status_type, shipping_method = $9, shipping_status = $10::text::shipping_status_type, transaction_id = $11, username = $12, customer_name = $13, customer_email = $14, customer_phone = $15, updated_at = now()\nWHERE order_id = $16 AND shop_id = $17";
    DELETE_ORDER_ITEMS "DeleteOrderItemsByOrder" ":exec"
        "DELETE FROM order_items WHERE order_id = $1 AND shop_id = $2";
    DELETE_ORDER "DeleteOrder" ":exec"
        "DELETE FROM orders WHERE order_id = $1 AND shop_id = $2";
    GET_ORDER_BY_TRANSACTION "GetOrderByTransactionID" ":one"
        "SELECT order_id, status::text AS status, amount, discount, shipping_cost, tax, shipping_address, payment_method::text AS payment_method, payment_status::text AS payment_status, shipping_method, shipping_status::text AS shipping_status, transaction_id, username, created_at, updated_at, shop_customer_id, shop_id, customer_name, customer_email, customer_phone\nFROM orders WHERE transaction_id = $1 AND shop_id = $2";
    UPDATE_ORDER_BY_TRANSACTION "UpdateOrderStatusByTransactionID" ":one"
        "UPDATE orders SET status = $3::text::order_status_type, payment_status = $4::text::payment_status_type, updated_at = now()\nWHERE transaction_id = $1 AND shop_id = $2\nRETURNING order_id, status::text AS status, amount, discount, shipping_cost, tax, shipping_address, payment_method::text AS payment_method, payment_status::text AS payment_status, shipping_method, shipping_status::text AS shipping_status, transaction_id, username, created_at, updated_at, shop_customer_id, shop_id, customer_name, customer_email, customer_phone";

    GET_VARIATION "GetProductVariation" ":one"
        "SELECT product_variation_id, sku, price, available_quantity, product_id, shop_id\nFROM product_variations WHERE product_variation_id = $1 AND shop_id = $2";
    UPDATE_STOCK "UpdateVariantStock" ":one"
        "UPDATE product_variations SET available_quantity = $3, updated_at = now()\nWHERE product_variation_id = $1 AND shop_id = $2\nRETURNING product_variation_id, sku, price, available_quantity, product_id, shop_id";
    ADD_STOCK "AddVariantStock" ":one"
        "UPDATE product_variations SET available_quantity = available_quantity + $3, updated_at = now()\nWHERE product_variation_id = $1 AND shop_id = $2\nRETURNING product_variation_id, sku, price, available_quantity, product_id, shop_id";
    DEDUCT_STOCK "DeductVariantStock" ":one"
        "UPDATE product_variations SET available_quantity = greatest(available_quantity - $3, 0), updated_at = now()\nWHERE product_variation_id = $1 AND shop_id = $2\nRETURNING product_variation_id, sku, price, available_quantity, product_id, shop_id";
    CREATE_MOVEMENT "CreateStockMovement" ":one"
        "INSERT INTO stock_movements (product_variation_id, shop_id, movement_type, quantity_change, quantity_before, quantity_after, reference_id, notes)\nVALUES ($1, $2, $3, $4, $5, $6, $7, $8)\nRETURNING movement_id, product_variation_id, shop_id, movement_type, quantity_change, quantity_before, quantity_after, reference_id, notes, created_at";
    GET_LOW_STOCK "GetLowStockVariants" ":many"
        "SELECT product_variation_id, sku, price, available_quantity, product_id, shop_id\nFROM product_variations WHERE shop_id = $1 AND available_quantity <= $2";

    UPSERT_CUSTOMER "UpsertCustomer" ":one"
        "INSERT INTO shop_customers (email, name, locale, profile_picture, verified_email, auth_provider, auth_provider_id, shop_id)\nVALUES ($1, $2, $3, $4, $5, $6, $7, $8)\nON CONFLICT (email, shop_id) DO UPDATE SET name = EXCLUDED.name, last_login = now()\nRETURNING shop_customer_id, email, name, locale, profile_picture, verified_email, auth_provider, auth_provider_id, created_at, last_login, shop_id";
    GET_CUSTOMERS "GetCustomers" ":many"
        "SELECT shop_customer_id, email, name, shop_id FROM shop_customers\nWHERE shop_id = $1 ORDER BY created_at DESC LIMIT $2 OFFSET $3";
    GET_CUSTOMERS_COUNT "GetCustomersCount" ":one"
        "SELECT count(*) FROM shop_customers WHERE shop_id = $1";
    DELETE_CUSTOMER "DeleteCustomer" ":exec"
        "DELETE FROM shop_customers WHERE shop_customer_id = $1 AND shop_id = $2";
}
