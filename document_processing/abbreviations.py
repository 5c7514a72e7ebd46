"""Words whose dot does not end a sentence, and words that tell whether it does, in the languages we meet.

English, German, French, Spanish, Polish, Russian and Ukrainian. An abbreviation that is missing costs one
cut too many; one too many in the lists costs two sentences that stay together.
"""

from __future__ import annotations

from document_processing.word_lists import word_set

BEFORE_NAME = word_set(
    # English and Latin
    "e.g i.e cf Cf vs al approx resp incl excl viz Fig Figs fig figs Eq Eqs eq Sec Secs sec Ch Tab Dr Mr Mrs Ms Prof "
    "St Gen Col Sgt Capt Lt Rev Hon Gov Sen Rep Pres Mt Ft Dept Univ ed eds pp Vol vol est Ref Refs App Thm Prop Lem "
    # German
    "z.B d.h u.a o.ä i.d.R s.o s.u u.U v.a bzw ca evtl ggf inkl exkl zzgl vgl Vgl Abb Abs Art Bd Hrsg Hr Fr Nr Kap "
    "Str str geb gest sog Sog bspw insb einschl Tel Std Mio Mrd Jh Jhd Ges gem lt Dipl-Ing Ing phil med "
    # French and Spanish
    "Mme Mlle MM env av apr chap éd p.ex c.-à-d c-à-d art bibl Sra Srta Sr Ud Uds Dra Dña Lic núm pág págs p.ej EE "
    # Polish
    "np tzn tj m.in ul al św dr prof mgr inż hab godz im tys zob por ok tzw wyd red woj gm tel "
    # Russian and Ukrainian
    "т.е т.к т.н т.д т.п тобто ім вул див напр см стр рис табл гл проф акад ст ул им просп обл тел тыс тис ред изд "
    "вид гр св пр пп гг кн разд розд п.п р м г в т с д п ч № "
)
BEFORE_NUMBER = word_set("No Nos no nos n p vol art n° nº núm кв ч")
# With these the next word decides: a usual first word of a sentence means that one begins.
MAY_END_SENTENCE = word_set(
    "etc Inc Ltd Co Corp Jr Sr a.m p.m U.S U.K U.N E.U U.S.A D.C Ph.D M.D B.A M.A B.C A.D J.D "
    "Jan Feb Mar Apr Jun Jul Aug Sep Sept Oct Nov Dec Mon Tue Wed Thu Fri Sat Sun Ave Blvd Rd "
    "usw UU"
)
SENTENCE_STARTERS = word_set(
    "The A An In It He She They We You This That These Those There However But And If When While At On For From "
    "After Before Since Although Its His Her Their Our Your My As With By To What Who Why How Where Then Thus "
    "Der Die Das Ein Eine Es Er Sie Wir Im In Am Auf Mit Bei Diese Dieser Dieses Aber Und Wenn "
    "Le La Les Un Une Il Elle Ils Elles Nous Vous Ce Cette Ces Dans En Pour Mais El Los Las Una Esta Este Pero"
)
GERMAN_BEFORE_ORDINAL = word_set(
    "der dem den des im zum vom beim zur das ein eine einen einem Der Das Im Zum Vom Beim Zur"
)
GERMAN_BEHIND_ORDINAL = word_set(
    "Januar Februar März April Mai Juni Juli August September Oktober November Dezember Jänner "
    "Jahrhundert Jahrhunderts Jahrhunderte Jh Jhd Weltkrieg Weltkriegs Auflage Klasse Lebensjahr"
)
