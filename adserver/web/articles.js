// The invented newspaper's articles, one per topic that the demonstration can ask for. The words of
// the first one shown are in demo.html, so that the page is whole before any script runs.
"use strict";

window.ARTICLES = {
  sport: {
    section: "Sport",
    categories: ["IAB17-1", "IAB17-4"],
    keywords: ["football", "running-shoes", "cycling", "best football"],
    kv: { section: "sports" },
    headline: "The smallest club on the coast has sold out its season before a ball is kicked",
    standfirst: "Four hundred seats, one groundskeeper and a waiting list that reaches into the next decade.",
    byline: "By Ines Calloway, at the Saltings",
    caption: "The ground floods twice a year. The fixture list is written around the tide table.",
    paragraphs: [
      "Nobody at the Saltings can say exactly when the queue began. There had always been a few regulars at the turnstile, and then one spring there was a line that went round the chandler’s and down to the slip, and it has not gone away since.",
      "The club has not done anything unusual to deserve it. It plays in the sixth tier. Its record signing cost less than the lawnmower. But every home game since the thaw has been full, and this week the last of the season tickets went to a lady of eighty-one who had put her name down for her grandson.",
      "What they sell is certainty, says the groundskeeper, who also keeps the gate and, on Saturdays, the goal. You know who will be on the bench. You know the tea. You know that if the ball goes into the harbour, somebody will row out for it, and the match will wait.",
      "The league has asked twice whether the stand could be made larger. The club has replied, twice, that it could, and has ordered a second teapot instead.",
    ],
  },
  technology: {
    section: "Technology",
    categories: ["IAB19-2", "IAB19-5"],
    keywords: ["laptop", "phone", "monitor", "used laptop"],
    kv: { section: "technology" },
    headline: "A repair shop taught its customers to mend things, and then ran out of customers",
    standfirst: "Its owner calls the empty diary the best year the business has had.",
    byline: "By Tomas Adeyemi",
    caption: "The workshop above the old net loft opens at seven, for whoever has brought a screwdriver.",
    paragraphs: [
      "The rule in the net loft is that you hold the iron. Bring a laptop that will not start and you will be shown a stool, a lamp and the thing that has failed, and then you will be left alone with it for slightly longer than is comfortable.",
      "It began as a way to clear the backlog. Eleven hundred devices had come through the door in a year, most with one of four faults, and the owner worked out that teaching the four would take less time than mending the eleven hundred. She was right by a factor of about three.",
      "There is a shelf by the window of machines nobody came back for, each with a label that says what it needs. A keyboard. A fan. A person with a free afternoon. They go quickly now; the label has become the attraction.",
      "Asked what happens when the whole town can mend its own phones, she looks out at the boats for a while. Then, she says, we start on the boats.",
    ],
  },
  travel: {
    section: "Travel",
    categories: ["IAB20-1", "IAB20-4"],
    keywords: ["flights", "hotel", "beach", "best hotel"],
    kv: { section: "travel" },
  },
  food: {
    section: "Food",
    categories: ["IAB8-1", "IAB8-3"],
    keywords: ["recipes", "coffee", "cheese", "best coffee"],
    kv: { section: "food" },
    headline: "One oven, four bakers and the loaf that a whole hillside sets its clocks by",
    standfirst: "It comes out at ten past six. If you are late there is soup.",
    byline: "By Beatriz Lindqvist",
    caption: "The smoke goes straight up on a good morning, and along the terraces on a wet one.",
    paragraphs: [
      "You can hear the bread before you smell it. The crust crackles as it cools, and in a room with sixty loaves on racks it makes a sound like rain on a tin roof, which is why nobody speaks until it has stopped.",
      "The oven is older than the road. Four households own a quarter of it each, an arrangement that was settled in writing in 1911 and has been argued about with pleasure every winter since. Each has its own flour and its own opinion of the other three.",
      "The recipe is no secret: flour, water, salt, and a starter that has been fed twice a day for longer than anyone present has been alive. What cannot be copied, they say, is the wall, which is a metre thick and remembers Tuesday on a Thursday.",
      "At twenty past six the shelves are bare, and the soup goes on.",
    ],
  },
  finance: {
    section: "Money",
    categories: ["IAB13-1", "IAB13-6"],
    keywords: ["savings", "etf", "insurance", "best savings"],
    kv: { section: "personal" },
    headline: "The savings club that meets in a bandstand has outperformed its own expectations",
    standfirst: "No fund, no fees, and a ledger that everybody has to read aloud.",
    byline: "By Jonah Petrakis",
    caption: "Members take turns at the cash box. It has never been locked, because nobody can find the key.",
    paragraphs: [
      "The meeting opens with the balance, read aloud, to the penny. Then the oldest member asks whether anyone needs any of it. Usually there is a pause, somebody’s boiler, and a show of hands.",
      "Thirty-one households pay in what they can each month. Nobody is asked how much, and everybody knows. In nine years there have been two late payments, both in the same wet November, and both were followed by a cake.",
      "An economist came to study the arrangement and stayed for the brass band. His paper finds that the members save about twice what comparable households do, and offers three explanations. The members prefer a fourth, which is that it is difficult to buy a motorbike when your neighbours have just read out the price.",
      "The bandstand’s roof leaks a little. There is, everyone agrees, money for that.",
    ],
  },
};
