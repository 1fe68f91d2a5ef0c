"""Made-up secrets in the forms of the vendors, and texts that only look like them. Nothing here opens anything."""

import base64
import json
import random
import string

_random = random.Random(7)
_ALNUM = string.ascii_letters + string.digits
_HEX = "0123456789abcdef"


def some(count, letters=_ALNUM):
    """Random characters with a digit early, as the tokens of all vendors have."""
    return _random.choice(letters[:10]) + "7" + "".join(_random.choice(letters) for _ in range(count - 2))


def base64_of(text):
    return base64.b64encode(text.encode()).decode()


def jwt():
    parts = ({"alg": "HS256", "typ": "JWT"}, {"sub": some(8), "admin": True})
    return ".".join(base64_of(json.dumps(part)).rstrip("=") for part in parts) + "." + some(43)


def private_key(kind="RSA ", newline="\n"):
    lines = [
        f"-----BEGIN {kind}PRIVATE KEY-----",
        *(some(64) for _ in range(3)),
        some(20) + "==",
        f"-----END {kind}PRIVATE KEY-----",
    ]
    return newline.join(lines)


def tokens():
    """(pattern name, secret): each is recognised wherever it stands."""
    return [
        ("anthropic", "sk-" + f"ant-api03-{some(80)}-{some(8)}AA"),
        ("openai", "sk-" + some(48)),
        ("openai", "sk-" + f"proj-{some(40)}_{some(20)}-{some(20)}"),
        ("openai", "sk-" + f"or-v1-{some(64, _HEX)}"),
        ("aws", "AKI" + f"A{some(16, string.ascii_uppercase + '234567')}"),
        ("aws", "ASI" + f"A{some(16, string.ascii_uppercase + '234567')}"),
        ("github", "gh" + f"p_{some(36)}"),
        ("github", "gh" + f"o_{some(36)}"),
        ("github", "gh" + f"s_{some(36)}"),
        ("github", "github" + f"_pat_{some(22)}_{some(59)}"),
        ("gitlab", "glp" + f"at-{some(20)}"),
        ("slack", "xox" + f"b-{some(12, string.digits)}-{some(12, string.digits)}-{some(24)}"),
        ("slack", "xox" + f"p-{some(12, string.digits)}-{some(32, _HEX)}"),
        ("slack", "https://hooks.slack" + f".com/services/T{some(8)}/B{some(8)}/{some(24)}"),
        ("google", "AIz" + f"a{some(35)}"),
        ("google", "ya29" + f".{some(60)}"),
        ("stripe", "sk_li" + f"ve_{some(24)}"),
        ("stripe", "rk_li" + f"ve_{some(24)}"),
        ("huggingface", "h" + f"f_{some(34)}"),
        ("npm", "np" + f"m_{some(36)}"),
        ("pypi", "pyp" + f"i-AgEIcHlwaS5vcmc{some(70)}"),
        ("sendgrid", "S" + f"G.{some(22)}.{some(43)}"),
        ("twilio", "S" + f"K{some(32, _HEX)}"),
        ("groq", "gs" + f"k_{some(52)}"),
        ("xai", "xa" + f"i-{some(80)}"),
        ("perplexity", "ppl" + f"x-{some(48)}"),
        ("replicate", "r" + f"8_{some(37)}"),
        ("langsmith", "lsv" + f"2_pt_{some(32, _HEX)}_{some(10, _HEX)}"),
        ("langfuse", "sk-" + f"lf-{some(8, _HEX)}-{some(4, _HEX)}-{some(12, _HEX)}"),
        ("databricks", "dap" + f"i{some(32, _HEX)}"),
        ("digitalocean", "do" + f"p_v1_{some(64, _HEX)}"),
        ("shopify", "shp" + f"at_{some(32, _HEX)}"),
        ("vault", "hv" + f"s.{some(90)}"),
        ("stripe", "whs" + f"ec_{some(32)}"),
        ("gitlab", "gl" + f"rt-{some(20)}"),
        ("slack", "xap" + f"p-1-A{some(10)}-{some(13, string.digits)}-{some(64, _HEX)}"),
        ("google", "GOC" + f"SPX-{some(28)}"),
        ("jwt", jwt()),
        ("private_key", private_key()),
        ("private_key", private_key("")),
        ("private_key", private_key("OPENSSH ")),
        ("bearer", f"Bearer {some(40)}"),
        ("basic_auth", f"Basic {base64_of('user:' + some(12))}"),
        ("url_password", f"postgresql://app:{some(16)}@db.internal:5432/main"),
        ("url_password", f"redis://:{some(16)}@cache:6379/0"),
        ("url_password", f"https://x-access-token:{some(24)}@example.org/repo.git"),
    ]


def assignments():
    """(text, the part that is secret): recognised by the name that it is given to."""
    made = []
    for form in (
        "password={}",
        "DB_PASSWORD={} other=1",
        "--api-key={}",
        "api_key: {}",
        'config = {{"client_secret": "{}", "a": 1}}',
        "{{'accessToken': '{}', 'a': 1}}",
        "Server=db;User Id=sa;Password={};Encrypt=yes",
        "DefaultEndpointsProtocol=https;AccountName=a;AccountKey={};EndpointSuffix=core.windows.net",
        "aws_secret_access_key = {}",
        "x-api-key: {}",
        "curl -H 'Authorization: Token {}' https://example.org",
        "Authorization: Digest username=a, response={}",
        "Cookie: session={}; theme=dark",
        "Set-Cookie: id={}; HttpOnly",
        "https://example.org/cb?access_token={}&state=1",
        "<apiKey>{}</apiKey>",
        ":password => '{}'",
        r"error\npassword={}",
        "%26password={}&x=1",
        "\x1b[31mpassword={}\x1b[0m",
        "pgpassword={}",
    ):
        secret = some(24)
        made.append((form.format(secret), secret))
    words = "correcthorse"
    made += [("login with password=" + words, words), ("password: " + words + "\nnext line", words)]
    quoted = 'with "quotes" and \\ and \' in it'
    made += [(json.dumps({"password": quoted, "next": 1}), "quotes")]
    made += [(json.dumps({"arguments": json.dumps({"password": quoted, "next": 1})}), "quotes")]
    made += [(json.dumps({"cookies": {"a": "first-one", "b": ["second-one"]}, "next": 1}), "first-one")]
    return made


_SECRET_KEYS = """
    password passwd pwd Password DB_PASSWORD dbPassword user.password new-password password2 passwords
    pgpassword passphrase secret secrets client_secret clientSecret clientsecret secret_key SECRET_KEY_BASE
    SecretString token Token access_token accessToken refresh_token auth_token authToken session_token
    sessionToken id_token bot_token api_token x-auth-token api_key apikey api-key apiKey APIKey API_KEY x-api-key
    X-Api-Key OPENAI_API_KEY stripeApiKey api_keys authorization Authorization proxy-authorization cookie
    cookies Cookie set-cookie Set-Cookie credential credentials connection_string connectionString
    ConnectionString private_key privateKey private-key-pem access_key aws_secret_access_key AccountKey
    encryption_key signing_key password_hash
"""
SECRET_KEYS = _SECRET_KEYS.split()

_INNOCENT_KEYS = """
    tokens max_tokens prompt_tokens completion_tokens total_tokens maxTokens token_count tokenCount token_limit
    tokenizer token_usage token_ids next_token nextToken nextPageToken page_token eos_token pad_token
    time_to_first_token cost_per_token author authors authority authorized payment_id session session_id
    secretary passenger compass keys key public_key primary_key key_id api_key_id secret_name password_length
    password_policy credential_id cookie_policy passwordless bypass monkey tokenized
"""
INNOCENT_KEYS = _INNOCENT_KEYS.split()


def look_alikes():
    """Texts in which nothing may change."""
    return [
        "550e8400-e29b-41d4-a716-446655440000",
        "task-550e8400-e29b-41d4-a716-446655440000",
        "disk-0192f0c1-d2e3-7abc-8123-456789abcdef",
        "risk-assessment-2024-for-the-north-region-v2",
        some(32, _HEX),
        some(40, _HEX),
        some(64, _HEX),
        f"sha256:{some(64, _HEX)}",
        f"commit {some(40, _HEX)} on main",
        f"TASK{some(32, _HEX)}",
        f"00-{some(32, _HEX)}-{some(16, _HEX)}-01",
        "data:image/png;base64," + base64.b64encode(_random.randbytes(30_000)).decode(),
        base64.urlsafe_b64encode(_random.randbytes(30_000)).decode(),
        base64.b32encode(_random.randbytes(30_000)).decode(),
        _random.randbytes(20_000).hex(),
        "tokens: 12",
        "max_tokens=512, prompt_tokens=20, total_tokens: 532",
        "used 1,203 tokens in 3.2 s at $0.0021",
        "the first token came after 0.3 s; token count 17",
        "write to support@example.org or call +1 555 0100",
        "https://example.org:8443/path?a=1&b=user@example.org",
        "http://localhost:8080?to=someone@example.org",
        "git@github.com:owner/repository.git",
        "ssh://git@github.com/owner/repository.git",
        "s3://bucket/key/with/many/parts.parquet",
        "arn:aws:iam::123456789012:role/agent",
        "order 4111-2222 for 12.50 EUR, payment_id=pay_123456",
        "Basic functionality is covered, and basic training as well",
        "the bearer of this letter, and Bearer-of-good-news-everyone",
        "the password must be at least eight characters long",
        "Password: must be at least eight characters long",
        "forgot your password? ask for a new one: it takes a minute",
        "the secret of the sauce is butter",
        "Secret: none of us knows",
        "authorization: required for every endpoint",
        "the cookie: a small cake",
        "api_key: str = None, token: Optional[str] = None",
        "def login(password: str, token: str) -> bool:",
        "password = getpass()\ntoken = self.next_token()",
        "while token := lexer.next():",
        "node->token->kind == node.password->next",
        "token = None; password=null; secret=undefined",
        "password=''; api_key=\"\"",
        "AKIA is how the ids of access keys begin",
        "sk-learn, sk-SK and sk-... are no keys",
        'eyJ is how a JWT begins... eyJhIjoxfQ is {"a":1}',
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIexample me@host",
        "xoxo, ghp_short, hf_model_name, npm_config_cache, pypi-publish",
        "SG. is Singapore, SK is Slovakia, AIza",
        "version 1.2.3-rc.4+build.567",
        "2024-01-01T00:00:00.000000Z",
        "C:\\new\\table\\users\\readme.txt",
        "emoji \U0001f511 and ключ and 鍵 and \u202e",
    ]
