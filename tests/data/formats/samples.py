"""Small files of every known format, written as their publishers document them, and what the first row must become."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from raymm.data.formats.known import Kind


@dataclass(frozen=True)
class Sample:
    """One file: its name and text, the format that it is of, and values of its first row."""

    form: str
    kind: Kind
    name: str
    data: bytes
    first: dict[str, Any]
    rows: int


def _lines(*lines: str, encoding: str = "utf-8") -> bytes:
    return ("\n".join(lines) + "\n").encode(encoding)


_REVIEW = {
    "reviewerID": "A2SUAM1J3GNN3B",
    "asin": "0000013714",
    "reviewerName": "J. McDonald",
    "helpful": [2, 3],
    "reviewText": 'I bought this for my husband; "great" fun.\nTwo lines, a \u2028 and 漢字.',
    "overall": 5.0,
    "summary": "Heavenly Highway Hymns",
    "unixReviewTime": 1252800000,
    "reviewTime": "09 13, 2009",
}
_REVIEW_2018 = {
    "overall": 4.0,
    "vote": "2",
    "verified": True,
    "reviewTime": "01 1, 2018",
    "reviewerID": "AUI6WTTT0QZYS",
    "asin": "5120053084",
    "style": {"Size:": "Large", "Color:": "Charcoal"},
    "reviewerName": "Abbey",
    "reviewText": "I now have 4 of the 5 available colors",
    "summary": "Comfy",
    "unixReviewTime": 1514764800,
}
_REVIEW_2023 = {
    "sort_timestamp": 1634275259292,
    "rating": 3.0,
    "helpful_votes": 0,
    "title": "Meh",
    "text": "These were lightweight and soft but much too small.",
    "images": [{"small_image_url": "https://x/1.jpg", "attachment_type": "IMAGE"}],
    "asin": "B088SZDGXG",
    "verified_purchase": True,
    "parent_asin": "B08BBQ29N5",
    "user_id": "AEYORY2AVPMCPDV57CE337YU5LXA",
    "timestamp": 1634275259292,
}
_ITEM_2014 = (
    "{'asin': '0000031852', 'title': \"Girls Ballet Tutu Zebra 'Hot' Pink\", 'price': 3.17, "
    "'imUrl': 'http://x/51fAmVkTbyL._SY300_.jpg', 'related': {'also_bought': ['B00JHONN1S', 'B002BZX8Z6']}, "
    "'salesRank': {'Toys & Games': 211836}, 'brand': 'Coxlures', "
    "'categories': [['Sports & Outdoors', 'Other Sports', 'Dance']]}"
)
_ITEM_2018 = {
    "asin": "0000031853",
    "title": "Girls Ballet Tutu",
    "feature": ["Botiquecutie Trademark", "Exclusive to you"],
    "description": ["This tutu is great for dress up play", "and more"],
    "price": 3.17,
    "imageURL": ["http://x/1.jpg"],
    "also_buy": ["B00JHONN1S"],
    "brand": "Coxlures",
    "category": ["Sports & Outdoors", "Dance"],
}
_ITEM_2023 = {
    "main_category": "All Beauty",
    "title": "Howard LC0008 Leather Conditioner",
    "average_rating": 4.8,
    "rating_number": 10,
    "features": [],
    "description": ["a", "b"],
    "price": None,
    "images": [{"thumb": "https://x/t.jpg", "large": "https://x/l.jpg", "variant": "MAIN", "hi_res": None}],
    "store": "Howard Products",
    "categories": ["Beauty", "Care"],
    "details": {"Package Dimensions": "7.1 x 5.5"},
    "parent_asin": "B01CUPMQZE",
    "bought_together": None,
}
_FLAGS = "|".join("1" if place in (3, 4, 5) else "0" for place in range(19))

SAMPLES = (
    Sample(
        "amazon_2014",
        "interactions",
        "reviews_Toys_5.json.gz",
        _lines(json.dumps(_REVIEW), json.dumps(_REVIEW | {"overall": 1.0})),
        {"user": "A2SUAM1J3GNN3B", "item": "0000013714", "rating": 5.0, "time": 1252800000},
        2,
    ),
    Sample(
        "amazon_2014_ratings",
        "interactions",
        "ratings_Toys.csv",
        _lines("A2SUAM1J3GNN3B,0439893577,5.0,1390694400", "A39HTATAQ9V7YF,B000068VBQ,1.0,1399334400"),
        {"user": "A2SUAM1J3GNN3B", "item": "0439893577", "rating": 5.0, "time": 1390694400},
        2,
    ),
    Sample(
        "amazon_2018",
        "interactions",
        "AMAZON_FASHION.json.gz",
        _lines(json.dumps(_REVIEW_2018)),
        {"user": "AUI6WTTT0QZYS", "item": "5120053084", "rating": 4.0, "time": 1514764800},
        1,
    ),
    Sample(
        "amazon_2018_ratings",
        "interactions",
        "AMAZON_FASHION.csv",
        _lines("7106116521,A1D4G1SNUZWQOT,5.0,1413763200", "7106116521,A3DDWDH9PX2YX2,2.0,1411862400"),
        {"user": "A1D4G1SNUZWQOT", "item": "7106116521", "rating": 5.0, "time": 1413763200},
        2,
    ),
    Sample(
        "amazon_2023",
        "interactions",
        "All_Beauty.jsonl.gz",
        _lines(json.dumps(_REVIEW_2023)),
        {"user": "AEYORY2AVPMCPDV57CE337YU5LXA", "item": "B08BBQ29N5", "rating": 3.0, "time": 1634275259},
        1,
    ),
    Sample(
        "amazon_2023_ratings",
        "interactions",
        "All_Beauty.csv",
        _lines("user_id,parent_asin,rating,timestamp", "AGKHLEW2SOWHNMFQIJGBECAF7INQ,B00YQ6X8EO,5.0,1588687728923"),
        {"user": "AGKHLEW2SOWHNMFQIJGBECAF7INQ", "item": "B00YQ6X8EO", "rating": 5.0, "time": 1588687728},
        1,
    ),
    Sample(
        "movielens_100k",
        "interactions",
        "u.data",
        _lines("196\t242\t3\t881250949", "186\t302\t3\t891717742"),
        {"user": "196", "item": "242", "rating": 3.0, "time": 881250949},
        2,
    ),
    Sample(
        "movielens_1m",
        "interactions",
        "ratings.dat",
        _lines("1::1193::5::978300760", "1::661::3::978302109"),
        {"user": "1", "item": "1193", "rating": 5.0, "time": 978300760},
        2,
    ),
    Sample(
        "movielens_csv",
        "interactions",
        "ratings.csv",
        _lines("userId,movieId,rating,timestamp", "1,296,4.5,1147880044"),
        {"user": "1", "item": "296", "rating": 4.5, "time": 1147880044},
        1,
    ),
    Sample(
        "recbole",
        "interactions",
        "ml-100k.inter",
        _lines("user_id:token\titem_id:token\trating:float\ttimestamp:float", "196\t242\t3\t881250949"),
        {"user": "196", "item": "242", "rating": 3.0, "time": 881250949},
        1,
    ),
    Sample(
        "mmrec",
        "interactions",
        "baby.inter",
        _lines("userID\titemID\trating\ttimestamp\tx_label", "0\t0\t5.0\t1370000000\t2", "0\t1\t4.0\t1370000001\t0"),
        {"user": "0", "item": "0", "rating": 5.0, "time": 1370000000, "label": 2},
        2,
    ),
    Sample(
        "douban",
        "interactions",
        "book_ratings.dat",
        _lines("1\t1630\t4", "1\t1181\t4"),
        {"user": "1", "item": "1630", "rating": 4.0, "time": None},
        2,
    ),
    Sample(
        "amazon_2014",
        "items",
        "meta_Toys.json.gz",
        _lines(_ITEM_2014),
        {
            "item": "0000031852",
            "title": "Girls Ballet Tutu Zebra 'Hot' Pink",
            "categories": "Sports & Outdoors Other Sports Dance",
        },
        1,
    ),
    Sample(
        "amazon_2018",
        "items",
        "meta_AMAZON_FASHION.json.gz",
        _lines(json.dumps(_ITEM_2018)),
        {"item": "0000031853", "title": "Girls Ballet Tutu", "feature": "Botiquecutie Trademark Exclusive to you"},
        1,
    ),
    Sample(
        "amazon_2023",
        "items",
        "meta_All_Beauty.jsonl",
        _lines(json.dumps(_ITEM_2023)),
        {"item": "B01CUPMQZE", "title": "Howard LC0008 Leather Conditioner", "images.0.large": "https://x/l.jpg"},
        1,
    ),
    Sample(
        "movielens_100k",
        "items",
        "u.item",
        _lines(f"1|Les Misérables (1995)|01-Jan-1995||http://x/?a|{_FLAGS}", encoding="latin-1"),
        {"item": "1", "title": "Les Misérables (1995)", "genres": "Animation Children Comedy"},
        1,
    ),
    Sample(
        "movielens_1m",
        "items",
        "movies.dat",
        _lines("73::Misérables, Les (1995)::Drama|Musical", "5::Star Trek:::Drama", encoding="latin-1"),
        {"item": "73", "title": "Misérables, Les (1995)", "genres": "Drama|Musical"},
        2,
    ),
    Sample(
        "movielens_csv",
        "items",
        "movies.csv",
        _lines("movieId,title,genres", '11,"American President, The (1995)",Comedy|Drama'),
        {"item": "11", "title": "American President, The (1995)", "genres": "Comedy|Drama"},
        1,
    ),
    Sample(
        "recbole",
        "items",
        "ml-100k.item",
        _lines("item_id:token\tmovie_title:token_seq\tclass:token_seq", "1\tToy Story\tAnimation Comedy"),
        {"item": "1", "title": "", "movie_title": "Toy Story", "class": "Animation Comedy"},
        1,
    ),
)
