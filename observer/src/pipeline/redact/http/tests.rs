//! What of a head stays.

use super::*;
use crate::interpret::Rules;

fn heads() -> Heads {
    Heads(Plan::new(&Rules::naytife().unwrap()).unwrap())
}

fn request(head: &str) -> String {
    let mut bytes = head.as_bytes().to_vec();
    heads().request(&mut bytes);
    String::from_utf8(bytes).unwrap()
}

#[test]
fn what_no_rule_reads_of_a_request_goes() {
    for (head, want) in [
        (
            "GET /v1/shops/7/orders/99?a=jo&b HTTP/1.1\r\nHost: x.y\r\nCookie: a=b; c\r\nContent-Length: 5\r\n\r\n",
            "GET /v1/shops/7/orders/00?x=xx&x HTTP/1.1\r\nHost: xxx\r\nCookie: xxxx x\r\nContent-Length: 5\r\n\r\n",
        ),
        (
            "POST /query?shop_id=7&x=1 HTTP/1.1\r\nHost: jo.shops.example:80\r\nX-Shop-Subdomain: jo\r\nAuthorization: Basic YTpi\r\n\r\n",
            "POST /query?shop_id=7&x=x HTTP/1.1\r\nHost: jo.xxxxx.xxxxxxx:xx\r\nX-Shop-Subdomain: jo\r\nAuthorization: xxxxx xxxx\r\n\r\n",
        ),
        (
            "GET /u/Deadbeef01/jo@x.org/cart HTTP/1.0\r\na: b\r\n c\r\nno colon\r\n\r\n",
            "GET /u/Aaaaaaaa00/xx@x.xxx/cart HTTP/1.0\r\na: x\r\n x\r\nxx xxxxx\r\n\r\n",
        ),
        (
            "GET http://jo:pw@host/v1/shops/7 HTTP/1.1\r\n\r\n",
            "GET http://xx:xx@xxxx/v1/shops/7 HTTP/1.1\r\n\r\n",
        ),
        (
            "CONNECT bank:443 HTTP/1.1\r\n\r\n",
            "CONNECT aaxx:000 HTTP/1.1\r\n\r\n",
        ),
        ("SECRET / HTTP/1.1\r\n", "XXXXXX / HTTP/1.1\r\n"),
        ("GET /login?token=ab", "GET /xxxxxxxxxxxxxx"),
        (
            "GET / HTTP/1.1\r\nCookie: sec",
            "GET / HTTP/1.1\r\nxxxxxxx xxx",
        ),
    ] {
        assert_eq!(request(head), want);
        assert_eq!(request(want), want, "twice is once");
    }
}

const TICKETS: &str = "
http:
  services:
    tickets:
      routes: ['/sales/{way}/{guest}']
business:
  entities:
    sale:
      key: []
      fields: { way: text, tier: text, channel: text, size: integer }
  requests:
    Sell:
      routes: ['/sales/{way}/{guest}']
      methods: [POST]
      entity: sale
      does: create
      fields:
        way: { from: path, name: way }
        tier: { from: header, name: X-Tier }
        channel: { from: query, name: channel }
        size: { from: body, name: order.size }
";

#[test]
fn what_rules_of_the_business_read_stays_where_it_makes_a_difference() {
    let plan = Plan::new(&Rules::parse(TICKETS).unwrap()).unwrap();
    for (head, want) in [
        (
            "POST /sales/card/jo?channel=web&name=jo HTTP/1.1\r\nx-tier: gold\r\nX-Name: jo\r\n\r\n",
            "POST /sales/card/xx?channel=web&xxxx=xx HTTP/1.1\r\nx-tier: gold\r\nX-Name: xx\r\n\r\n",
        ),
        (
            "POST /sales/jo@x/jo?channel=a%20b HTTP/1.1\r\nX-Tier: jo@x\r\n\r\n",
            "POST /sales/~~~~/xx?channel=~~~~~ HTTP/1.1\r\nX-Tier: ~~~~\r\n\r\n",
        ),
        (
            "GET /sales/card/jo?channel=web HTTP/1.1\r\nX-Tier: gold\r\n\r\n",
            "GET /sales/aaxa/xx?xxxxxxx=xxx HTTP/1.1\r\nX-Tier: xxxx\r\n\r\n",
        ),
    ] {
        let mut bytes = head.as_bytes().to_vec();
        let asked = Heads(Arc::clone(&plan)).request(&mut bytes);
        assert_eq!(String::from_utf8(bytes).unwrap(), want);
        let told = asked.request.map(|read| read.told.len());
        assert_eq!(told, head.starts_with("POST").then_some(4));
    }
}

#[test]
fn a_path_folds_as_before() {
    for path in [
        "/a1",
        "/u/deadbeef",
        "/k%C3%A4se",
        "/käse",
        "/a/b/c/d/e/f/g/h",
        "/x/app.3f2e.js",
        "*",
    ] {
        let head = request(&format!("GET {path} HTTP/1.1\r\n"));
        let again = head.split(' ').nth(1).unwrap().to_owned();
        let folded = |path: &str| {
            let mut out = String::new();
            fold::fold(path, &mut out);
            out
        };
        assert_eq!(folded(&again), folded(path), "{again}");
    }
}

#[test]
fn a_response_keeps_its_status_and_its_framing() {
    let mut head = b"HTTP/1.1 302 Found\r\nLocation: /jo\r\nContent-Type: application/json; x=1\r\nSet-Cookie: a=b\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    Heads::response(&mut head);
    assert_eq!(
        String::from_utf8(head).unwrap(),
        "HTTP/1.1 302 xxxxx\r\nLocation: xxx\r\nContent-Type: application/json; xxx\r\nSet-Cookie: xxx\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
}

#[test]
fn only_bodies_that_rules_read_are_asked_for() {
    let asked = |head: &str| {
        let asked = heads().request(&mut head.as_bytes().to_vec());
        (asked.request, asked.response)
    };
    assert_eq!(asked("GET /query HTTP/1.1\r\n\r\n"), (None, None));
    let (request, response) = asked("POST /query HTTP/1.1\r\n\r\n");
    assert!(request.unwrap().operation && response.unwrap().errors);
    let (request, response) = asked("POST /deploy HTTP/1.1\r\n\r\n");
    assert_eq!(request.unwrap().fields, ["shop_id"]);
    assert_eq!(response, None);
}
