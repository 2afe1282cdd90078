"""The words of the simulated marketplace: places, devices, categories, nouns. Data only."""

from __future__ import annotations

COUNTRIES = (
    # ISO 3166-1 alpha-3, alpha-2, main language (ISO 639-1); most ad requests first
    ("USA", "US", "en"),
    ("IND", "IN", "hi"),
    ("BRA", "BR", "pt"),
    ("DEU", "DE", "de"),
    ("GBR", "GB", "en"),
    ("JPN", "JP", "ja"),
    ("FRA", "FR", "fr"),
    ("MEX", "MX", "es"),
    ("ITA", "IT", "it"),
    ("CAN", "CA", "en"),
    ("ESP", "ES", "es"),
    ("AUS", "AU", "en"),
    ("IDN", "ID", "id"),
    ("TUR", "TR", "tr"),
    ("KOR", "KR", "ko"),
    ("POL", "PL", "pl"),
    ("NLD", "NL", "nl"),
    ("ARG", "AR", "es"),
    ("THA", "TH", "th"),
    ("VNM", "VN", "vi"),
    ("PHL", "PH", "en"),
    ("COL", "CO", "es"),
    ("SWE", "SE", "sv"),
    ("CHE", "CH", "de"),
    ("BEL", "BE", "nl"),
    ("AUT", "AT", "de"),
    ("ZAF", "ZA", "en"),
    ("EGY", "EG", "ar"),
    ("SAU", "SA", "ar"),
    ("ARE", "AE", "ar"),
    ("MYS", "MY", "en"),
    ("SGP", "SG", "en"),
    ("TWN", "TW", "zh"),
    ("HKG", "HK", "zh"),
    ("UKR", "UA", "uk"),
    ("ROU", "RO", "ro"),
    ("CZE", "CZ", "cs"),
    ("PRT", "PT", "pt"),
    ("GRC", "GR", "el"),
    ("HUN", "HU", "hu"),
    ("DNK", "DK", "da"),
    ("NOR", "NO", "nb"),
    ("FIN", "FI", "fi"),
    ("IRL", "IE", "en"),
    ("NZL", "NZ", "en"),
    ("ISR", "IL", "he"),
    ("CHL", "CL", "es"),
    ("PER", "PE", "es"),
    ("ECU", "EC", "es"),
    ("PAK", "PK", "en"),
    ("BGD", "BD", "en"),
    ("NGA", "NG", "en"),
    ("KEN", "KE", "en"),
    ("MAR", "MA", "ar"),
    ("DZA", "DZ", "ar"),
    ("SVK", "SK", "cs"),
    ("BGR", "BG", "ro"),
    ("HRV", "HR", "hu"),
    ("SRB", "RS", "ro"),
    ("KAZ", "KZ", "uk"),
)

REGIONS = {
    # ISO 3166-2 subdivision codes without the country's prefix
    "US": "CA TX FL NY PA IL OH GA NC MI NJ VA WA AZ TN MA IN MO MD WI CO MN SC AL LA KY OR OK CT "
    "UT IA NV AR MS KS NM NE ID WV HI NH ME MT RI DE SD ND AK DC VT WY",
    "CA": "ON QC BC AB MB SK NS NB NL PE",
    "DE": "NW BY BW NI HE SN RP BE SH BB ST TH HH MV SL HB",
    "GB": "ENG SCT WLS NIR",
    "FR": "IDF ARA NAQ OCC HDF PAC GES PDL BRE NOR BFC CVL 20R",
    "AU": "NSW VIC QLD WA SA TAS ACT NT",
    "BR": "SP MG RJ BA PR RS PE CE PA SC MA GO AM ES PB RN MT AL PI DF MS SE RO TO AC AP RR",
    "IN": "UP MH BR WB MP TN RJ KA GJ AP OR TS KL JH AS PB CT HR DL JK UK HP TR ML MN NL GA AR",
    "JP": "13 14 27 23 11 12 28 01 40 22 08 34 26 04 15 20 21 09 10 33 07 24 43 46 47 25 35 29 38 "
    "42 02 03 17 44 45 06 37 16 05 30 41 19 18 36 39 32 31",
    "IT": "25 62 65 52 34 45 82 21 72 75 36 42 78 88 57 32 55 67 77 23",
    "ES": "AN CT MD VC GA CL PV CN CM MC AR IB EX AS NC CB RI",
    "MX": "MEX CMX JAL VER PUE GUA CHP NLE MIC OAX CHH GRO TAM BCN SIN COA HID SON SLP TAB YUC ROO "
    "QUE MOR DUR ZAC AGU TLA NAY CAM BCS COL",
    "CH": "ZH BE VD AG SG GE LU TI VS FR BL TH SO GR BS NE SZ ZG SH JU AR NW GL OW UR AI",
}

LANGUAGES = "en es pt hi de ja fr it ar id tr ko pl nl th vi sv zh uk ro cs el hu da nb fi he"

DEVICES = {
    # type: share of visits, {operating system: share}
    "phone": (0.52, {"android": 0.66, "ios": 0.34}),
    "desktop": (0.34, {"windows": 0.7, "macos": 0.2, "linux": 0.06, "chromeos": 0.04}),
    "tablet": (0.08, {"ios": 0.55, "android": 0.45}),
    "tv": (0.06, {"tizen": 0.4, "webos": 0.3, "androidtv": 0.3}),
}

BROWSERS = {
    # operating system: {browser: share}
    "android": {"chrome": 0.8, "samsung": 0.12, "firefox": 0.05, "opera": 0.03},
    "ios": {"safari": 0.78, "chrome": 0.2, "firefox": 0.02},
    "windows": {"chrome": 0.68, "edge": 0.22, "firefox": 0.08, "opera": 0.02},
    "macos": {"safari": 0.5, "chrome": 0.44, "firefox": 0.06},
    "linux": {"chrome": 0.6, "firefox": 0.4},
    "chromeos": {"chrome": 1.0},
    "tizen": {"samsung": 1.0},
    "webos": {"chrome": 1.0},
    "androidtv": {"chrome": 1.0},
}

PLATFORMS = {
    # what a user agent says of its operating system
    "android": "Linux; Android 10; K",
    "ios": "iPhone; CPU iPhone OS 18_6 like Mac OS X",
    "windows": "Windows NT 10.0; Win64; x64",
    "macos": "Macintosh; Intel Mac OS X 10_15_7",
    "linux": "X11; Linux x86_64",
    "chromeos": "X11; CrOS x86_64 14541.0.0",
    "tizen": "SMART-TV; Linux; Tizen 8.0",
    "webos": "Web0S; Linux/SmartTV",
    "androidtv": "Linux; Android 12; Android TV",
}

ENGINES = {
    # and of its browser
    "chrome": "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
    "edge": "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0",
    "firefox": "Gecko/20100101 Firefox/143.0",
    "opera": "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36 OPR/122.0.0.0",
    "safari": "AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Safari/605.1.15",
    "samsung": "AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/28.0 Chrome/130.0.0.0",
}

SIZES = (
    # width, height, share of slots offering it; the dozen that most of the web trades in
    (300, 250, 0.30),
    (728, 90, 0.14),
    (320, 50, 0.14),
    (300, 600, 0.08),
    (160, 600, 0.07),
    (970, 250, 0.06),
    (336, 280, 0.06),
    (320, 100, 0.05),
    (468, 60, 0.03),
    (970, 90, 0.03),
    (120, 600, 0.02),
    (250, 250, 0.02),
)

CATEGORIES = (
    # IAB Content Taxonomy 1.0 in order: name, number of children used here, nouns of its keywords
    ("Arts & Entertainment", 7, "film series concert album museum comedy theatre festival"),
    ("Automotive", 8, "car suv hybrid truck tyres motorcycle van garage"),
    ("Business", 8, "software invoices marketing logistics startup office payroll franchise"),
    ("Careers", 6, "job resume internship salary interview recruiter freelance training"),
    ("Education", 8, "course degree tutor scholarship language-lessons exam school webinar"),
    ("Family & Parenting", 6, "stroller daycare toys pregnancy crib babysitter diapers adoption"),
    ("Health & Fitness", 8, "gym vitamins yoga running-plan sleep dentist allergy meditation"),
    ("Food & Drink", 8, "recipes pizza coffee wine vegan-meals chocolate barbecue cheese"),
    ("Hobbies & Interests", 8, "camera guitar chess knitting board-games painting drone comics"),
    ("Home & Garden", 8, "sofa lawnmower kitchen mattress paint curtains roses heat-pump"),
    ("Law & Politics", 4, "lawyer visa election pension tax-law divorce notary petition"),
    ("News", 3, "headlines weather newspaper podcast debate economy local-news interviews"),
    ("Personal Finance", 8, "mortgage savings credit-card etf insurance loan budget broker"),
    ("Society", 6, "dating wedding volunteering charity gifts community etiquette party"),
    ("Science", 6, "telescope geology climate physics robots genome maps chemistry"),
    ("Pets", 6, "dog-food cat aquarium vet leash kitten parrot horse"),
    ("Sports", 8, "football running-shoes tennis cycling ski golf basketball swimming"),
    ("Style & Fashion", 6, "dress sneakers watch perfume handbag jeans makeup jacket"),
    ("Technology & Computing", 8, "laptop phone cloud headphones monitor vpn tablet router"),
    ("Travel", 8, "flights hotel cruise beach hiking campsite train city-break"),
    ("Real Estate", 3, "apartment house rental land architect moving condo renovation"),
    ("Shopping", 4, "coupons outlet gift-card auction marketplace bargains delivery catalogue"),
    (
        "Religion & Spirituality",
        6,
        "pilgrimage choir tarot retreat candles mindfulness hymns feast",
    ),
)

MODIFIERS = (
    " best cheap new used online near-me deals reviews how-to premium compare budget top-rated "
    "local beginner"
)  # split at single spaces: "" comes first, so that a noun alone is its most frequent keyword

OFFERS = (
    "{noun} made simple",
    "Find your {noun} today",
    "Save 20% on {noun}",
    "The {noun} people trust",
    "New season, new {noun}",
    "Your {noun}, delivered",
    "{noun}: free trial",
    "Better {noun} for less",
)
CALLS = ("Shop now", "Learn more", "Try it free", "Book today", "See offers", "Get a quote")

NAME_HEADS = (
    "Alder Amber Aster Atlas Aurora Basil Beacon Birch Bloom Bolt Brook Cedar Cinder Clover Comet "
    "Coral Crest Delta Dune Echo Elm Ember Fable Falcon Fern Finch Flint Forge Fox Garnet Glade "
    "Granite Grove Harbor Hazel Heron Hollow Indigo Iris Ivory Jade Juniper Kestrel Lark Laurel "
    "Lumen Lynx Maple Marble Meadow Mint Mosaic Nimbus Nova Oak Onyx Opal Orchid Otter Pearl "
    "Pine Pixel Plume Poppy Prairie Quartz Quill Raven Reef Ridge River Robin Rowan Saffron Sage "
    "Sable Sierra Slate Sparrow Spruce Stone Summit Swift Tandem Teal Terra Thistle Tidal Topaz "
    "Umber Velvet Verve Vista Willow Wren Yarrow Zephyr"
)
NAME_TAILS = (
    "Works Goods Labs Market House Supply Studio Direct Partners Club Collective Union Trade "
    "Point Yard Line Hub Nest Craft Base"
)
SITE_TAILS = "daily post times hub world review guide forum journal zone today wire digest"
