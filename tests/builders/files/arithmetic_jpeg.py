"""Two small JPEG files with arithmetic coding, which no encoder that the tests have writes.

They were made by `jpegtran -arithmetic` of libjpeg-turbo 2.1, from `picture_8(64, 56)` as a JPEG
file of quality 60: the first is sequential, the second progressive.
"""

import base64

SEQUENTIAL = base64.b64decode(
    """
    /9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAA0JCgsKCA0LCgsODg0PEyAVExISEyccHhcgLikxMC4pLSwzOko+MzZGNy
    wtQFdBRkxOUlNSMj5aYVpQYEpRUk//yQALCABAADgBAREA/8wABgAQEAX/2gAIAQEAAD8A/wC3WAkl5/4i/ESpZAFC
    wcIO2D8mU3E35pY9XAMttFwvoJswvBzfll7K6gP+Nv8AW/XbnzjPwdGLWXFI3TrmvZDPVrC6KOE88/lqJsArnS9G1y
    tW/vTvh/OGN1AastEQjhT3i2mAApR31yjdp1mcktma8WbrwILBor1ItWwLK0HiBHftsMsHYPvj8fLT9/epYNQxYhO7
    fGGUUnR9ksWOwRmMty5D9jDLsewXXTkCboD87+vLD0a2U52qjvZYc1xCKsgEzncIntBKXwcaiv6vDsZylYiXhi6lEi
    k5bfOzqHjFg+Gp5SuKfpPYvBcyJHLw20JcqypWQf6zRrVTq65WaMG6JVaPSAn6hEczrPOvNMYL5Oc2/9k=
    """
)
PROGRESSIVE = base64.b64decode(
    """
    /9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAA0JCgsKCA0LCgsODg0PEyAVExISEyccHhcgLikxMC4pLSwzOko+MzZGNy
    wtQFdBRkxOUlNSMj5aYVpQYEpRUk//ygALCABAADgBAREA/8wABAAQ/9oACAEBAAAAAf8AbwQbyoK8sjXRI+EDA+Xe
    QekLlgPu800GWYL1p/vsoX1//moUr7LjyI59oVAeeAovDKCA/8wABBAF/9oACAEBAAEFAv4yE5iQAfaIQbHi/Jo7KX
    nWSs7tr7WH5+qlGbfy2rtUiqiNbtVfzG42Oeo0csnIxTEDHlI7Y2HfdRzNsecil6rtUz1I8XNCXjsaEJ0Q+DP/zAAE
    EAX/2gAIAQEABj8CqP/MAAQQBf/aAAgBAQABPyEA0YVGwUKzIs8PBJZ8PngCA1/zcMXU68JejEswaMydfgvUkS/UIB
    lJM/8AQBQhIYGMmFxg/9oACAEBAAAAEOKGYMs8J1T/zAAEEAX/2gAIAQEAAT8QrIbsaihczvgGcnGDeLc+/T1uQ/0I
    kD/keA+Oku1C80zsgNDrQDG1dcX2tsZBgjc8vq0GoQj6PHiHRztT53Viivp54ZhbiO37QsnWVwSbHhXo0P/Z
    """
)
